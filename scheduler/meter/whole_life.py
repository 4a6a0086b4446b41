"""A function whose calls stand in a context of their own, for as long as what they return lives.

A coroutine or generator function returns at once: its body runs later, when it is awaited or asked
for its values. A context around the call alone would end before that.
"""

from __future__ import annotations

import inspect
from contextlib import aclosing
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from contextlib import AbstractContextManager

P = ParamSpec("P")
T = TypeVar("T")


def whole_life(
    function: Callable[P, T], context: Callable[[], AbstractContextManager[Any]]
) -> Callable[P, T]:
    """The function, with a ``context`` of its own around each call: around the body, whenever it
    runs. It is of the same kind: plain, coroutine, generator or asynchronous generator function.
    """
    body: Callable[..., Any] = function
    made: Callable[..., Any]
    if inspect.isasyncgenfunction(function):

        @wraps(function)
        async def made(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[Any, Any]:
            with context():
                async with aclosing(body(*args, **kwargs)) as generator:
                    step = generator.asend(None)
                    while True:
                        try:
                            value = await step
                        except StopAsyncIteration:
                            return
                        try:
                            step = generator.asend((yield value))
                        except Exception as e:  # noqa: BLE001 -- thrown in: the body's to handle
                            step = generator.athrow(e)

    elif inspect.iscoroutinefunction(function):

        @wraps(function)
        async def made(*args: P.args, **kwargs: P.kwargs) -> Any:
            with context():
                return await body(*args, **kwargs)

    elif inspect.isgeneratorfunction(function):

        @wraps(function)
        def made(*args: P.args, **kwargs: P.kwargs) -> Generator[Any, Any, Any]:
            with context():
                return (yield from body(*args, **kwargs))

    else:

        @wraps(function)
        def made(*args: P.args, **kwargs: P.kwargs) -> Any:
            with context():
                return body(*args, **kwargs)

    return cast("Callable[P, T]", made)
