"""Small real data sets; origins and licences are in LICENSES.md, checksums in SHA256SUMS.txt."""
