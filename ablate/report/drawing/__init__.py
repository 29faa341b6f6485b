"""The drawings of a report: small SVG figures. Part of `ablate.report`."""
