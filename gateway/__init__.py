"""An OpenAI-compatible gateway in front of Azure OpenAI, serverless on Azure Functions."""

__version__ = "0.1.0"
