"""The library that the chapters build, one file per chapter. Generated: edit the chapters, then `tito export`."""
