"""The demos of `tito demo`: each module here has a docstring and a function `main(arguments)`.

The docstring's first line is what `tito demo` says of it; `main` gets the words that follow the demo's name
and returns an exit status.
"""
