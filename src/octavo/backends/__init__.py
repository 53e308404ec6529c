"""Where data can live: each module opens one kind of backend (see :mod:`octavo.query.protocols`)."""
