"""The book: its pages, made from the chapters and from book/."""
