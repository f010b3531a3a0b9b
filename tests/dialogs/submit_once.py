"""Submits descriptor 0 as a program of ours would: submit_once.py LIBRARY HOME KIND SENDER RECIPIENT...

KIND: one, resident, fail.  Says QP and the result's text on descriptor 1, two lines for each submission.
"""

import os
import sys


def main(library: str, home: str, kind: str, *addresses: str) -> None:
    sys.path.insert(0, library)
    from qmailpy.disk.home import Home
    from qmailpy.skeletons.submit import Submission

    sender, *recipients = [os.fsencode(word).replace(b"{NUL}", b"\0") for word in addresses]
    with open(0, "rb") as file:
        content = file.read()
    for _ in range(2 if kind == "resident" else 1):
        submission = Submission(Home(os.fsencode(home)), resident=kind == "resident")
        for at in range(0, len(content), 50_000):
            submission.write(content[at : at + 50_000])
        if kind == "fail":
            submission.fail()
        result = submission.close(sender, recipients)
        os.write(1, b"%d\n%s\n" % (result.qp, result.text))


if __name__ == "__main__":
    main(*sys.argv[1:])
