"""Grading submissions: student code in a sandbox, the verdict outside of it.

`submissions` finds and reads what was handed in. `cells` takes the expected values out of a test cell.
`worker` runs the student's chapter and the cell in a process that `sandbox` has locked up, and sends the values
of the calls through a pipe, in the form of `wire`. `judge` compares them with what the reference gives.
`results` keeps and compares marks, `pages` shows them.
"""
