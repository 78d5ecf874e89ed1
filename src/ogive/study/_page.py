"""The frame of every page that Ogive writes: one HTML file that loads nothing, light or dark as the reader likes."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from pathlib import Path

from ogive import __version__
from ogive.study.directory import RunDirectory

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def page(title: str, lead: str, body: str, styles: str = "") -> str:
    """Return a whole document.

    Parameters
    ----------
    title : str
        Plain text.
    lead : str
        What stands below the title, HTML.
    body : str
        HTML.
    styles : str
        CSS besides that of the report.
    """
    sheet = files("ogive.study").joinpath("report.css").read_text(encoding="utf-8") + styles
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{sheet}</style></head><body><main><header><div><h1>{escape(title)}</h1>"
        f'<div class="soft">{lead}</div></div></header>{body}'
        f"<footer>Made by Ogive {escape(__version__)}. Everything is in this file; it loads nothing.</footer>"
        "</main></body></html>\n"
    )


def section(title: str, hint: str, body: str) -> str:
    """Return a card with a heading, a line of explanation in plain text, and HTML below."""
    return f'<section><h2>{escape(title)}</h2><p class="hint">{escape(hint)}</p>{body}</section>'


def tiles(facts: dict[str, str]) -> str:
    """Return figures in boxes, name below number."""
    boxes = "".join(f'<div class="tile"><b>{escape(v)}</b><span>{escape(k)}</span></div>' for k, v in facts.items())
    return f'<div class="tiles">{boxes}</div>'


def write(path: str | Path, document: str) -> Path:
    """Write a page so that it appears whole or not at all.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    path = Path(path)
    return RunDirectory(path.parent).write(path.name, document)
