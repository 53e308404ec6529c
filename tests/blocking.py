"""An asynchronous client with the synchronous one's face, for tests that compare the two."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from octavo.aio import AsyncClient, AsyncModelClient, AsyncModels


class _Model:
    def __init__(self, model: AsyncModelClient, runner: asyncio.Runner) -> None:
        self._model, self._runner = model, runner

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        awaited = getattr(self._model, operation)

        def call(**arguments: Any) -> Any:
            return self._runner.run(awaited(**arguments))

        return call


class _Models:
    def __init__(self, models: AsyncModels, runner: asyncio.Runner) -> None:
        self._models, self._runner = models, runner

    def __getitem__(self, model: str) -> _Model:
        return _Model(self._models[model], self._runner)

    def __getattr__(self, name: str) -> _Model:
        return _Model(getattr(self._models, name), self._runner)


class Blocking(_Models):
    """Each call is a task of the runner's, which is waited for."""

    _models: AsyncClient

    @contextmanager
    def tx(self, **limits: Any) -> Iterator[_Models]:
        block = self._models.tx(**limits)
        models = self._runner.run(block.__aenter__())
        try:
            yield _Models(models, self._runner)
        except BaseException as error:
            self._runner.run(block.__aexit__(type(error), error, None))
            raise
        else:
            self._runner.run(block.__aexit__(None, None, None))

    def close(self) -> None:
        self._runner.run(self._models.close())
