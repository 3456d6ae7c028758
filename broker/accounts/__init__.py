"""Who may do what on RabbitMQ: an account for each service, one for operators, and one for each integrator.

`permissions` says it, `definitions` puts it into RabbitMQ's own form, `ways` takes that to a broker, and
`python -m broker.accounts` is the operator's command.
"""
