"""What a service's methods may be called with: what their signatures say, checked before anything is done."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, get_type_hints

from pydantic import create_model

from broker.validation import Body, parse

Method = TypeVar("Method", bound=Callable[..., Any])


def checked(method: Method) -> Method:
    """Have a method called with what its annotations promise, and with nothing else.

    They are pydantic's, read strictly as for a Body: an object becomes the model that an argument is
    annotated with. The method raises Invalid, which names each argument at fault.
    """
    signature = inspect.signature(method)
    annotations = get_type_hints(method, include_extras=True)
    _, *names = signature.parameters
    fields: dict[str, Any] = {name: (annotations[name], _default(signature, name)) for name in names}
    arguments = create_model(method.__qualname__, __base__=Body, **fields)

    @wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        given = signature.bind(self, *args, **kwargs).arguments
        values = parse(arguments, {name: given[name] for name in names if name in given})
        return method(self, **{name: getattr(values, name) for name in names})

    # For Nameko, which hides what is sensitive and looks no further than the function that it calls.
    call.__signature__ = signature  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]


def _default(signature: inspect.Signature, name: str) -> Any:
    default = signature.parameters[name].default
    return ... if default is inspect.Parameter.empty else default
