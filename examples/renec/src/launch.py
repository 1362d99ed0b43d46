"""`python -m src.launch PROGRAM ARGS`: becomes the program, with the application's variables in its environment.

So that what a process was started with can be seen from outside, and a changed file holds from the next start on.
"""

from __future__ import annotations

import os
import sys

from src.settings import read_variables, settings_file

if __name__ == "__main__":
    os.execvpe(sys.argv[1], sys.argv[1:], read_variables(settings_file()))
