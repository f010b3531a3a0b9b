"""Gives a checkout the layout of a home: lib/current -> lib/checkout, links to the package and to its dependencies.

link_checkout.py VENV
"""

import os
import sys

venv = os.path.abspath(sys.argv[1])
root = os.getcwd()
folder = os.path.join(root, "lib", "checkout")
os.makedirs(folder, exist_ok=True)
packages = os.path.join(venv, "lib", "python%d.%d" % sys.version_info[:2], "site-packages")
wanted = {name: os.path.join(packages, name) for name in os.listdir(packages)}
wanted["qmailpy"] = os.path.join(root, "qmailpy")
wanted["launchers"] = os.path.join(root, "bin")
for name in set(os.listdir(folder)) - set(wanted):
    os.unlink(os.path.join(folder, name))
for name, target in wanted.items():
    link = os.path.join(folder, name)
    if not os.path.islink(link) or os.readlink(link) != target:
        if os.path.islink(link):
            os.unlink(link)
        os.symlink(target, link)
temporary = os.path.join(root, "lib", ".current")
if os.path.islink(temporary):
    os.unlink(temporary)
os.symlink(folder, temporary)
os.rename(temporary, os.path.join(root, "lib", "current"))
