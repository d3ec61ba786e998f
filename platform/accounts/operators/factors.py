"""An operator's second factor: made at the first sign-in, asked for at each, taken away by another operator."""

from __future__ import annotations

import hmac
import json
import secrets
from urllib.parse import quote, urlencode

from allauth.mfa.totp.internal.auth import generate_totp_secret, validate_totp_code
from django.db import transaction
from django.db.models import F
from django.utils.crypto import salted_hmac

from accounts.operators.models import Operator, OperatorFactor
from audit.services import record
from core.clock import now
from core.sealing import is_current, seal, unseal

PURPOSE = "accounts.operator_factor"
RECOVERY_CODES = 10
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that looks like another
USED_KEPT = 5


def new_secret() -> str:
    """Return a secret for an app, not kept anywhere yet."""
    return str(generate_totp_secret())


def address_of(operator: Operator, secret: str, host: str) -> str:
    """Return what the picture for an app says."""
    label = quote(f"{host}:{operator.email}")
    said = {"secret": secret, "issuer": host, "algorithm": "SHA1", "digits": 6, "period": 30}
    return f"otpauth://totp/{label}?{urlencode(said)}"


def is_code_of(secret: str, code: str) -> bool:
    """Return whether an app that has the secret shows this code now, or half a minute before or after."""
    return bool(validate_totp_code(secret, _plain(code)))


@transaction.atomic
def add_factor(*, operator: Operator, secret: str) -> list[str]:
    """Give an operator, who has shown a code of it, this factor, and return the recovery codes, shown this once."""
    recovery = [_recovery_code() for _ in range(RECOVERY_CODES)]
    OperatorFactor.objects.update_or_create(
        operator=operator, defaults={"sealed": _sealed(secret, recovery), "used": []}
    )
    record("accounts.factor.added", actor=operator, target=operator, factor="totp")
    return recovery


def use_code(*, operator: Operator, code: str) -> bool:
    """Return whether a code of the app or a recovery code is good, and let it be good no more."""
    with transaction.atomic():
        factor = OperatorFactor.objects.select_for_update().filter(operator=operator).first()
        kind = _used(factor, _plain(code)) if factor is not None else ""
    record(f"accounts.factor.{'used' if kind else 'refused'}", actor=operator, target=operator, factor=kind)
    return bool(kind)


def _used(factor: OperatorFactor, code: str) -> str:
    held = json.loads(unseal(factor.sealed, purpose=PURPOSE, anywhere=True))
    secret, recovery = held["secret"], held["recovery"]
    mark = salted_hmac(PURPOSE, f"{factor.pk}.{code}", algorithm="sha256").hexdigest()[:16]
    left = [one for one in recovery if not hmac.compare_digest(one.encode(), code.encode())]
    if is_code_of(secret, code) and mark not in factor.used:
        kind = "totp"
        factor.used = [mark, *factor.used][:USED_KEPT]
    elif len(left) < len(recovery):
        kind = "recovery_codes"
    else:
        return ""
    if len(left) < len(recovery) or not is_current(factor.sealed, purpose=PURPOSE, anywhere=True):
        factor.sealed = _sealed(secret, left)  # under the first of the keys, too
    factor.last_used_at = now()
    factor.save()
    return kind


@transaction.atomic
def reset_factor(*, operator: Operator, by: object) -> bool:
    """Take an operator's factor away and end his sessions: the next sign-in makes a new one.

    :returns: whether he had one.
    """
    removed, _ = OperatorFactor.objects.filter(operator=operator).delete()
    Operator.objects.filter(pk=operator.pk).update(session_round=F("session_round") + 1)
    record(
        "accounts.factors.reset",
        actor=by,
        target=operator,
        factors=["totp", "recovery_codes"] * bool(removed),
    )
    return bool(removed)


def _sealed(secret: str, recovery: list[str]) -> str:
    return seal(json.dumps({"secret": secret, "recovery": recovery}), purpose=PURPOSE, anywhere=True)


def _recovery_code() -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(12))


def _plain(code: str) -> str:
    return code.strip().replace(" ", "").replace("-", "").lower()
