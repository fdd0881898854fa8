import pathlib
import sys

import markdown

title, source, target = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
target.mkdir(parents=True)
for page in sorted(source.glob("*.md")):
    body = markdown.markdown(page.read_text())
    (target / page.with_suffix(".html").name).write_text(f"<title>{title}</title>\n{body}\n")
