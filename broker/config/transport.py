"""The `TRANSPORT_OPTIONS` of the broker's client, those of them that the platform can do with."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from broker.config.spelling import nearest

_Wait = Annotated[float, Field(gt=0, le=600)]


class Transport(BaseModel):
    """Of py-amqp's connection. Not among them: `confirm_publish`, without which events may be lost."""

    model_config = ConfigDict(extra="forbid", strict=True)

    connect_timeout: _Wait | None = None
    read_timeout: _Wait | None = None
    write_timeout: _Wait | None = None
    channel_max: Annotated[int, Field(ge=1, le=65535)] | None = None
    frame_max: Annotated[int, Field(ge=4096, le=2**31 - 1)] | None = None
    login_method: str | None = None
    client_properties: dict[str, Any] | None = None
    socket_settings: dict[int, int] | None = None

    @classmethod
    def checked(cls, options: Any) -> Any:
        """The options as they were given. Raises ValueError that names the one at fault."""
        if options is None:
            return {}
        if not isinstance(options, dict):
            return options
        try:
            cls.model_validate(options)
        except ValidationError as error:
            raise ValueError("; ".join(cls._line(each) for each in error.errors())) from None
        return options

    @classmethod
    def _line(cls, fault: Any) -> str:
        name = str(fault["loc"][0])
        if fault["type"] != "extra_forbidden":
            return f"{name} {fault['msg'].replace('Input should be', 'must be')}"
        guess = nearest(name, cls.model_fields)
        return f"{name} is no option of it" + (f"; did you mean {guess}?" if guess else "")
