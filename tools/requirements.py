"""Prints what pyproject.toml says the project needs: requirements.py [test]."""

import sys
import tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
for requirement in project["dependencies"] if len(sys.argv) == 1 else project["optional-dependencies"][sys.argv[1]]:
    print(requirement.replace(" ", ""))
