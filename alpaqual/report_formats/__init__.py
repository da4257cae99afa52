"""The formats of a report: one file each, found by name. Other packages add theirs by the entry-point group `alpaqual.report_formats`."""
