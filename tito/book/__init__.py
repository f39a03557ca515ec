"""The course as a site: `tito book build`."""
