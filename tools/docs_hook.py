"""What mkdocs calls while it makes the site (mkdocs.yml): pages that do not lie in docs/, and links to them.

So every link works on the site, wherever it is put, and shows the files of the very commit that it was made from. What
is not there is left as it is, and fails the strict build.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docs_links import IMAGES, ROOT, content, linked, site_uri, spaced, with_links
from mkdocs.structure.files import File, Files

STYLE = Path(__file__).with_name("docs_site.css")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that do not lie in docs/."""
    made = {"index.md"}
    files.append(File.generated(config, "index.md", content=content("README.md")))
    files.append(File.generated(config, "site.css", content=STYLE.read_text()))
    waiting = ["README.md", *(f"docs/{file.src_uri}" for file in files.documentation_pages())]
    while waiting:
        source = waiting.pop()
        for target in linked(source):
            uri = site_uri(target)
            if uri in made or files.get_file_from_path(uri) is not None:
                continue
            made.add(uri)
            if target.endswith(IMAGES):
                files.append(File.generated(config, uri, abs_src_path=str(ROOT / target)))
                continue
            files.append(File.generated(config, uri, content=content(target)))
            if target.endswith(".md"):
                waiting.append(target)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """A page's Markdown for the site: links as the site has them, lists as Python-Markdown finds them."""
    uri = page.file.src_uri
    source = uri.removeprefix("repo/") if uri.startswith("repo/") else f"docs/{uri}"
    source = "README.md" if uri == "index.md" else source
    return with_links(spaced(markdown), source, uri)
