"""Coming to live somewhere: making a home, verifying it, and taking its programs away again.

Who uses it: tools/setup.py (make setup, check, uninstall, accounts), tools/run.py, config and config-fast. It runs
by an administrator's hand, never on a message's way, so the standard library is welcome here.

  order      what setup, check and the embedded way do, in their order
  removal    what uninstall does
  gather     what is to be installed, read into memory: package, dependencies, launchers, texts
  library    lib/VERSION-HASH: written beside the old one, switched by one rename, old ones removed
  placed     files that we put where an administrator may change them; his changes stay
  tree       directories, queue files and their owners and modes, from disk/layout
  owners     the roles as numbers, for both ways to live
  interpreter  the launchers' first line
  ground     where make run puts its home
  accounts   users and groups of the roles
  naming     control files that follow from a host's name
  verify     what is wrong with a home, one line each
  around     what else is on this machine: manual path, another mail system, what leads into a home
  commands   running a program and reading what it says

Never: touches an existing control file, alias, user file or anything in the queue.
"""
