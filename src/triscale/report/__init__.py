"""Pictures and pages from plain data: SVG and self-contained HTML, without scripts or outside hosts."""
