"""What a run spends on one model of an evaluation over all of its stages, together with other processes and earlier runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from alpaqual.execution.stored import REPLIES
from alpaqual.inference.loop import InferenceLoop
from alpaqual.plan.stage import Stage, fingerprint
from alpaqual.recipe.model_settings import ModelSettings
from alpaqual.store.lost import LOST, LostFile
from alpaqual.store.spending import SharedSpending
from alpaqual.store.store import Result
from alpaqual.values import Request

if TYPE_CHECKING:
    from alpaqual.execution.execution import Execution


class Account:
    """The spending on one model; stages of a run that ask it share the account, one after the other.

    `known_usd` is what replies cost that were there before this run asked for them.
    """

    def __init__(self, spending: SharedSpending) -> None:
        self.spending = spending
        self.known_usd = 0.0
        self._keys: set[str] = set()
        self._stages: set[str] = set()

    def count_known(
        self,
        execution: Execution,
        stages: Iterable[Stage],
        stage: Stage,
        loop: InferenceLoop[Any, Any],
        requests: Iterable[Request],
    ) -> None:
        """Count, in the budget of a loop that starts, the replies that earlier runs bought: those of this stage's first requests,
        and those of the other `stages` of the model whose results are reused. Each reply counts once.
        """
        client = loop.client
        if not client.budget.includes_reused:
            return
        client.budget.mark()
        client.ledger.refresh()
        client.ledger.reset_external()
        for each in stages:
            result = execution.results.get(each.name)
            if isinstance(result, Result) and each.name not in self._stages:
                self._stages.add(each.name)
                self.known_usd += sum(
                    reply["cost_usd"] + reply["bought_usd"] for reply in result.facts.get(REPLIES, ())
                )
        self._stages.add(stage.name)
        found = {client.ledger.key(request): request for request in requests}
        fresh = [request for key, request in found.items() if key not in self._keys]
        self._keys |= found.keys()
        self.known_usd += loop.original_cost(fresh)
        client.budget.add_known(self.known_usd)


def account_of(execution: Execution, settings: ModelSettings, name: str, identity: object) -> Account | None:
    """The account of a model, opened by its first stage; None where nothing is paid for. Raises StoreError."""
    key = fingerprint(identity)[:16]
    if key not in execution.accounts:
        spending = open_spending(execution, settings, name, identity)
        if spending is None:
            return None
        execution.accounts[key] = Account(spending)
    return execution.accounts[key]


def open_spending(execution: Execution, settings: ModelSettings, name: str, identity: object) -> SharedSpending | None:
    """What all processes spend on the requests of a model, to be closed; None where nothing is paid for.

    `identity` is what its requests have in common: models of the same identity share their replies, whatever their names.
    Raises StoreError.
    """
    if execution.options.offline or not settings.live or settings.plugin.FREE:
        return None
    key = fingerprint(identity)[:16]
    return SharedSpending(execution.store.budgets / key, LostFile(execution.store.replies / LOST, key, name))
