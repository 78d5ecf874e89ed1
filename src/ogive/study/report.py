"""x"""

from __future__ import annotations


def write_report(study, directory):
    return None
