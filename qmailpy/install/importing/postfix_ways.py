"""Postfix: relays as its parameters make them, with their TLS and their logins."""

from qmailpy.install.importing import maincf
from qmailpy.install.importing.plan import Login, Plan, Setting
from qmailpy.install.importing.postfix_sources import FILES, read_map, words_of
from qmailpy.install.importing.relay import (
    ENCRYPT,
    IMPLICIT,
    LOGIN,
    MAY,
    NONE,
    SMTP,
    SUBMISSIONS,
    Relay,
    name_of,
    split_port,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.install.importing.plan import Read

_LEVELS = {  # our level, and whether the certificate is verified
    b"none": (NONE, False),
    b"may": (MAY, False),
    b"encrypt": (ENCRYPT, False),
    b"dane": (MAY, False),
    b"dane-only": (ENCRYPT, True),
    b"verify": (ENCRYPT, True),
    b"secure": (ENCRYPT, True),
    b"fingerprint": (ENCRYPT, True),
}
_YES = (b"yes", b"true")


class Ways:
    """Relays as Postfix' parameters make them: how TLS is used is one for all, logins are found by the relay."""

    def __init__(self, read: "Read", plan: Plan, parameters: maincf.Parameters) -> None:
        """The files of logins are read once."""
        self._read, self._plan, self._parameters = read, plan, parameters
        self._logins: dict[bytes, Login] = {}
        self._said_files = False
        self.used = False  # whether a relay was made already

    def relay(self, setting: Setting, wanted: bytes, sender: bytes = b"", *, aloud: bool = False) -> Relay:
        """[host]:port.

        sender: whose login comes first; aloud: say what became of the parameters for TLS and logins.
        """
        plan, parameters = self._plan, self._parameters
        wrapped = is_on(parameters, b"smtp_tls_wrappermode")
        name, port = split_port(wanted, SUBMISSIONS if wrapped else SMTP)
        if port is None:
            plan.wrong(setting.place, setting.key, b"a port is a number from 1 to 65535, or a service's name")
        if not wanted.startswith(b"["):
            plan.lost(setting, b"that it is found by MX: a route leads to the address of " + name)
            relay = Relay(name, port or SMTP)
        else:
            relay = Relay(name[1:-1], port or SMTP)
        is_first, self.used = not self.used, True
        _tls(plan if aloud or is_first else Plan(), parameters, relay, wrapped=wrapped)
        self._login(relay, wanted, sender, aloud=aloud or is_first)
        return relay

    def logins(self) -> dict[bytes, bytes]:
        """All entries of the files of logins, the first of equal keys."""
        maps = self._parameters.found.get(b"smtp_sasl_password_maps")
        known: dict[bytes, bytes] = {}
        for word in words_of(self._parameters.value(b"smtp_sasl_password_maps")) if maps is not None else []:
            kind, _, path = word.partition(b":")
            pairs = read_map(self._read, kind, path)
            if pairs is not None:
                for key, value in pairs:
                    known.setdefault(key, value)
            assert maps is not None
            if not self._said_files:
                if pairs is None:
                    shown = kind if kind in FILES else b"a map"  # what is no kind may be the rest of a password
                    self._plan.lost(maps, shown + b": its source cannot be read")
                else:
                    self._plan.secrets.append(path if kind in FILES else maps.place.partition(b" line ")[0])
        self._said_files = True
        return known

    def _login(self, relay: Relay, wanted: bytes, sender: bytes, *, aloud: bool) -> None:
        plan, parameters = self._plan, self._parameters
        maps, enabled = (parameters.found.get(key) for key in (b"smtp_sasl_password_maps", b"smtp_sasl_auth_enable"))
        if enabled is None or not is_on(parameters, b"smtp_sasl_auth_enable"):
            if maps is not None and aloud:
                plan.needless(maps, b"smtp_sasl_auth_enable is not yes")
            return
        if aloud:
            plan.became(enabled, b"auth= in the routes")
        if maps is None:
            if aloud:
                plan.wrong(enabled.place, b"smtp_sasl_password_maps", b"it is missing")
            return
        known = self.logins()
        for key in (sender, wanted, relay.host, b"[" + relay.host + b"]", b""):
            if key in known and (key or not sender):
                relay.login = self._made(key, known[key], sender, wanted)
                if relay.login is None:
                    plan.wrong(maps.place, maps.key, b"an entry is user:password")
                return
        if not sender or aloud:
            plan.wrong(maps.place, maps.key, b"it has no login for " + wanted)

    def _made(self, key: bytes, entry: bytes, sender: bytes, wanted: bytes) -> Login | None:
        user, colon, password = entry.partition(b":")
        if not user or not colon:
            return None
        if key not in self._logins:
            is_main = key != sender and wanted == self._parameters.value(b"relayhost")
            name = LOGIN if is_main else name_of(key)
            self._logins[key] = Login(name, user, password)
            maps = self._parameters.found[b"smtp_sasl_password_maps"]
            self._plan.became(maps, b"control/smtpauth: the login of " + user)
        return self._logins[key]


def is_on(parameters: maincf.Parameters, name: bytes) -> bool:
    """Whether a parameter says yes."""
    return parameters.value(name).lower() in _YES


def _tls(plan: Plan, parameters: maincf.Parameters, relay: Relay, *, wrapped: bool) -> None:
    found = parameters.found
    setting = found.get(b"smtp_tls_security_level")
    said = parameters.value(b"smtp_tls_security_level")
    if setting is None or not said:
        setting, said = _old_level(parameters)
    relay.tls, relay.verified = _LEVELS.get(said, (ENCRYPT, False))
    if setting is not None and said not in _LEVELS:
        plan.wrong(setting.place, setting.key, b"Postfix has no level " + said)
    elif setting is not None and said.startswith(b"dane"):
        plan.lost(setting, b"DANE; " + relay.level + b" is used")
    if said == b"fingerprint" and setting is not None:
        _fingerprint(plan, parameters, relay, setting)
    if wrapped:
        relay.tls = IMPLICIT
        plan.became(found[b"smtp_tls_wrappermode"], b"tls=implicit in control/smtproutes")
    if setting is not None:
        plan.became(setting, relay.level.partition(b" ")[0] + b" in control/smtproutes")
    for key in (b"smtp_tls_CAfile", b"smtp_tls_CApath"):
        if key in found and not parameters.value(key).startswith(b"/etc/ssl/certs"):
            plan.lost(found[key], b"certificates are verified by the system's authorities")


def _old_level(parameters: maincf.Parameters) -> tuple[Setting | None, bytes]:
    for name, level in ((b"smtp_enforce_tls", b"verify"), (b"smtp_use_tls", b"may")):
        if is_on(parameters, name):
            return parameters.found[name], level
    return None, b"none"


def _fingerprint(plan: Plan, parameters: maincf.Parameters, relay: Relay, setting: Setting) -> None:
    digests = parameters.value(b"smtp_tls_fingerprint_cert_match").replace(b"|", b" ").split()
    plain = [digest.replace(b":", b"").lower() for digest in digests]
    usable = [digest for digest in plain if len(digest) == 64 and not digest.strip(b"0123456789abcdef")]
    if usable:
        relay.fingerprint = usable[0]
        if len(plain) > 1:
            plan.lost(setting, b"more than one fingerprint: the first SHA-256 is used")
    else:
        plan.lost(setting, b"a fingerprint that is no SHA-256; the certificate will be verified")
