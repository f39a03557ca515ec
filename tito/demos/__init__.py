"""The demos of `tito demo`: each module here has a docstring and a click command, `command`.

The docstring's first line is what `tito demo` says of it; the command's options follow the demo's name, and it returns
an exit status.
"""
