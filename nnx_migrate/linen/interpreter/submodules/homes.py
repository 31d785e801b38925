"""Functions and methods that one module gives another: `self` in them is the module whose code made them."""

from __future__ import annotations

from nnx_migrate.linen.interpreter.frame import Frame, Session
from nnx_migrate.linen.interpreter.ranks.patterns import may_learn


def at_home(frame: Frame, home: Session | None) -> Frame:
    """A frame to run code of the module `home`: the given one, unless it runs another module's."""
    if home is None or home.is_of(frame.session):
        return frame
    session = home.aside(may_learn(frame))
    return Frame(session, frame.module, {}, method=frame.method, context=frame.context, foreign=True)
