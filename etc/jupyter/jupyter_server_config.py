"""JupyterLab for the course: a *_dev.py file opens as a notebook, and is saved as the .py file it is."""

from pathlib import Path

c = get_config()  # noqa: F821 (given by Jupyter)
c.ServerApp.contents_manager_class = "jupytext.TextFileContentsManager"
c.LabServerApp.app_settings_dir = str(Path(__file__).resolve().parent / "lab-settings")
