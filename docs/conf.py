"""How Sphinx builds these pages: make docs."""

from importlib.metadata import version as installed_version

project = "django_electric"
author = "the django_electric contributors"
release = version = installed_version("django-electric-sync")

extensions = ["myst_parser"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"django_electric {release}"
