"""qmail, whole, in Python: separate programs that talk over pipes, each under the one uid it needs.

The layers, from top to bottom; imports go down only (tests/house proves it):
programs -> {send, inject, local, remote, receive} -> skeletons -> {rules | disk} -> {wire | system} -> verdict
"""

VERSION = "0.1.0"
