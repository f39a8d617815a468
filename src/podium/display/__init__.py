"""What people are shown, as data: numbers, tables, text and charts. `podium.report` renders it as HTML and Markdown."""
