"""Texts that stand for a value which something else should have put in, and did not. Pure.

As a credential such a text would be worse than none: it would go upstream as a key, and as the master key it
would let in whoever sends it.
"""

from __future__ import annotations

import re

_FORMS = (
    re.compile(r"@Microsoft\.KeyVault\(.*", re.IGNORECASE | re.DOTALL),
    # Shells, pipelines, templates: $X, ${X}, ${{ x }}, $(X), {{ x }}, {x}, %X%, <x>, [x], #{x}#
    re.compile(r"\$[A-Za-z_]\w*|\$[({].*[)}]|\{+.*\}+|%\w+%|<.*>|\[.*\]|#\{.*\}#?", re.ASCII | re.DOTALL),
    # Code: os.environ["X"], os.environ.get(...), os.getenv(...), process.env.X, env.X, env(X)
    re.compile(r"(os\.|process\.)?(environ|getenv|env)\b\s*[.(\[/:].*", re.IGNORECASE | re.DOTALL),
    # Schemes of other tools.
    re.compile(
        r"(env|environ|environment|secret|secrets|secretref|vault|keyvault|akv|kv|ref\+\w+|aws_sm|gcp_sm|"
        r"arn:aws:secretsmanager|projects|op|ssm|doppler|bws)(:|//?).*",
        re.IGNORECASE | re.DOTALL,
    ),
    re.compile(r"!?(env|secret|vault)\s.*", re.IGNORECASE | re.DOTALL),
    # What is meant to be put in between: LiteLLM resolves whole values only.
    re.compile(r".*(os\.environ/|\$\{[A-Za-z_]\w*\}).*", re.ASCII | re.DOTALL),
    re.compile(r"none|null|nil|undefined|nan|true|false|change_?me|todo|x{3,}|\*+|\.{3}", re.IGNORECASE),
)

#: What stands before the credential in the value of a header.
_SCHEME = re.compile(r"(bearer|basic|token|apikey)\s+", re.IGNORECASE)


def is_unresolved(text: str) -> bool:
    """Tell whether `text` is a reference in some notation, or a word for nothing, rather than a value."""
    stripped = text.strip().strip("\"'")
    return any(form.fullmatch(_SCHEME.sub("", stripped)) for form in _FORMS)
