"""The Functions app: every route, and nothing else. What answers them is in `gateway/server/handlers.py`."""

import azure.functions as func

from gateway.server.handlers import handler
from gateway.server.routes import routes

# The gateway checks its callers' keys itself, in every form that OpenAI's and Azure's clients send.
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

for route in routes():
    register = app.route(route=route.template, methods=list(route.methods), trigger_arg_name="req")
    app.function_name(route.name)(register(handler(route)))
