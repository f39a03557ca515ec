"""JupyterLab for the course: a *_dev.py file opens as a notebook, and is saved as the .py file it is.

What a save would replace unseen is kept first: tito/contents.py.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

sys.path.append(str(HERE.parents[1]))

c = get_config()  # noqa: F821 (given by Jupyter)
c.ServerApp.contents_manager_class = "tito.contents.ContentsManager"
c.LabServerApp.app_settings_dir = str(HERE / "lab-settings")
