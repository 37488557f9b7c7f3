"""The model card: a Hugging Face README.md from the same facts as the review pack."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader

from umo.evaluation.page import interval_text, signed
from umo.files import sha256, write_text
from umo.review import facts
from umo.review.compare import CANDIDATE
from umo.review.evidence import Evidence
from umo.review.gates import Verdict

NAME = "README.md"
TEMPLATES = Path(__file__).parent / "templates"
HUB_LICENCES = frozenset(
    {"apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "bsd-2-clause", "bsd-3-clause", "isc"}
)
"""Licences that the Hub knows by their SPDX name in lower case; the others are `other` there."""
METRICS = {"id_sim": "ID-Sim", "id_conf": "ID-Conf"}


def write(out: Path, *, name: str, evidence: Evidence, verdicts: Sequence[Verdict]) -> str:
    """Write the model card of a version.

    Args:
        out: The Markdown file, `README.md` beside the weights.
        name: What a person calls the version.
        evidence: As `umo.review.evidence.gather` read it.
        verdicts: As `umo.review.gates.judge` gave them.

    Returns:
        sha256 of the card.
    """
    # Markdown, not HTML: what is filled in is made safe for a table cell instead.
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"cell": _cell, "signed": signed, "interval": interval_text}
    page = environment.get_template("card.md").render(
        front=yaml.safe_dump(front_matter(name, evidence), sort_keys=False, allow_unicode=True),
        name=name,
        evidence=evidence,
        verdicts=verdicts,
        metrics=METRICS,
        scores=evidence.scores,
        lineage=facts.lineage(evidence),
        licences=facts.licences(evidence),
        consents=facts.consents(evidence),
        config=evidence.made.get("config", {}),
        settings=yaml.safe_dump(evidence.made.get("config", {}), sort_keys=True),
        judging=evidence.judged["config"],
    )
    write_text(out, page)
    return sha256(out)


def front_matter(name: str, evidence: Evidence) -> dict[str, Any]:
    """What the Hub reads: licence, base, tags and results, as plain values."""
    return {
        **_licence(evidence),
        "base_model": evidence.base.name,
        "base_model_relation": "adapter",
        "library_name": "diffusers",
        "pipeline_tag": "image-to-image",
        "tags": ["lora", "umo", "image-customization", "multi-identity"],
        "model-index": [
            {
                "name": name,
                "results": [
                    {
                        "task": {"type": "image-to-image", "name": "multi-person customization"},
                        "dataset": {
                            "name": f"{evidence.items} held-out prompts",
                            "type": "umo-dataset",
                            "revision": evidence.judged["lineage"]["dataset"]["digest"],
                        },
                        "metrics": [
                            {
                                "type": metric,
                                "name": title,
                                "value": round(evidence.scores[CANDIDATE][metric], 2),
                            }
                            for metric, title in METRICS.items()
                        ],
                    }
                ],
            }
        ],
    }


def _licence(evidence: Evidence) -> dict[str, str]:
    """A LoRA goes by the licence of its base."""
    licence = ", ".join(evidence.base.licences.values())
    if licence.lower() in HUB_LICENCES:
        return {"license": licence.lower()}
    return {"license": "other", "license_name": licence or f"not-recorded-for-{evidence.base.name}"}


def _cell(text: object) -> str:
    """Text that stays within one cell of a Markdown table and starts no HTML."""
    plain = " ".join(str(text).split())
    return plain.replace("|", "\\|").replace("<", "&lt;")
