"""Postfix: where mail for other hosts goes: transport_maps, relayhost, and a default_transport that refuses."""

from qmailpy.install.importing import maincf, postfix_maps
from qmailpy.install.importing.plan import Plan
from qmailpy.install.importing.postfix_ways import Ways
from qmailpy.install.importing.relay import relay_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from qmailpy.install.importing.plan import Read


def translate(read: "Read", plan: Plan, parameters: maincf.Parameters) -> None:
    """All that decides where mail for other hosts goes."""
    ways = Ways(read, plan, parameters)
    is_all = postfix_maps.transports(read, plan, parameters, ways)
    transport = parameters.found.get(b"default_transport")
    refusal = b"" if transport is None else parameters.value(b"default_transport")
    setting = parameters.found.get(b"relayhost")
    wanted = b"" if setting is None else parameters.value(b"relayhost")
    if transport is not None and refusal.startswith(b"error:") and not is_all:
        text = postfix_maps.refusal_text(refusal.partition(b":")[2])
        plan.add("smtproutes", b":error:" + text)
        plan.became(transport, b"control/smtproutes: :error:" + text)
        if setting is not None and wanted:
            plan.needless(setting, b"all mail for other hosts is refused")
        return
    if transport is not None and refusal not in (b"smtp", b""):
        plan.lost(transport, b"what it names has no counterpart")
    if setting is None or not wanted:
        _without_relay(plan, parameters, is_used=is_all or ways.used)
    elif is_all:
        plan.needless(setting, b"transport_maps has a line for everything")
    else:
        relay = ways.relay(setting, wanted, aloud=True)
        relay_all(plan, setting, relay)
    postfix_maps.senders(read, plan, parameters, ways)


def _without_relay(plan: Plan, parameters: maincf.Parameters, *, is_used: bool) -> None:
    for key in (b"smtp_sasl_password_maps", b"smtp_sasl_auth_enable", b"smtp_tls_security_level"):
        setting = parameters.found.get(key)
        if setting is not None and not is_used and not parameters.value(b"sender_dependent_relayhost_maps"):
            plan.needless(setting, b"there is no relayhost")
