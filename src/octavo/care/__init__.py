"""The care of a store: looking it over (doctor), mending what can be mended without loss, backing it up."""
