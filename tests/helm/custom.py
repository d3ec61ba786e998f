"""The structure of the custom resources that the chart makes, as far as it uses them.

Kubernetes' schemas do not know them, and their own are not at hand, so these were written from the fields their
projects document: KEDA 2.15 and later, Gateway API v1, cert-manager 1, the Prometheus operator, CloudNativePG 1.24 and
later. A field that is not here is refused, whether or not its project has it: who needs one looks it up and adds it.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]
TEXT: Schema = {"type": "string", "minLength": 1}
NUMBER: Schema = {"type": "integer", "minimum": 0}
LABELS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
DURATION: Schema = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d|w|y))+$"}
HOST: Schema = {"type": "string", "pattern": r"^(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)+$"}


def closed(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """Return the schema of an object with these fields and no others."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": required | (optional or {}),
    }


def many(items: Schema, least: int = 1) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items, "minItems": least}


def resource(api_version: str, kind: str, spec: Schema) -> tuple[tuple[str, str], Schema]:
    """Return a resource's place in the table, and its schema."""
    metadata = closed({"name": TEXT}, {"labels": LABELS, "annotations": LABELS})
    fields = {
        "apiVersion": {"const": api_version},
        "kind": {"const": kind},
        "metadata": metadata,
        "spec": spec,
    }
    return (api_version, kind.lower()), closed(fields)


SELECTOR = closed({}, {"matchLabels": LABELS})
SCALING = closed(
    {},
    {
        "stabilizationWindowSeconds": {"type": "integer", "minimum": 0, "maximum": 3600},
        "selectPolicy": {"enum": ["Max", "Min", "Disabled"]},
        "policies": many(
            closed({"type": {"enum": ["Pods", "Percent"]}, "value": NUMBER, "periodSeconds": NUMBER})
        ),
    },
)
QUANTITIES = closed({}, {"requests": LABELS, "limits": LABELS})
RULE = closed(
    {"expr": {"type": ["string", "integer"]}},
    {
        "alert": TEXT,
        "record": TEXT,
        "for": DURATION,
        "keep_firing_for": DURATION,
        "labels": LABELS,
        "annotations": LABELS,
    },
)
CUSTOM: dict[tuple[str, str], Schema] = dict(
    [
        resource(
            "monitoring.coreos.com/v1",
            "ServiceMonitor",
            closed(
                {
                    "selector": SELECTOR,
                    "endpoints": many(
                        closed(
                            {"port": TEXT},
                            {
                                "path": {"type": "string", "pattern": "^/"},
                                "interval": DURATION,
                                "scrapeTimeout": DURATION,
                                "relabelings": many(
                                    closed(
                                        {},
                                        {
                                            "sourceLabels": many(TEXT),
                                            "targetLabel": TEXT,
                                            "regex": TEXT,
                                            "action": TEXT,
                                        },
                                    )
                                ),
                            },
                        )
                    ),
                }
            ),
        ),
        resource(
            "monitoring.coreos.com/v1",
            "PrometheusRule",
            closed(
                {
                    "groups": many(
                        closed(
                            {"name": TEXT, "rules": many(RULE)},
                            {"interval": DURATION, "limit": NUMBER, "labels": LABELS},
                        ),
                        least=0,
                    )
                }
            ),
        ),
        resource(
            "keda.sh/v1alpha1",
            "TriggerAuthentication",
            closed({"secretTargetRef": many(closed({"parameter": TEXT, "name": TEXT, "key": TEXT}))}),
        ),
        resource(
            "keda.sh/v1alpha1",
            "ScaledObject",
            closed(
                {
                    "scaleTargetRef": closed({"name": TEXT}, {"apiVersion": TEXT, "kind": TEXT}),
                    "triggers": many(
                        closed(
                            {
                                "type": {"const": "postgresql"},
                                "metadata": closed({"query": TEXT, "targetQueryValue": TEXT}),
                            },
                            {
                                "metricType": {"enum": ["AverageValue", "Value"]},
                                "authenticationRef": closed({"name": TEXT}),
                                "name": TEXT,
                            },
                        )
                    ),
                },
                {
                    "minReplicaCount": NUMBER,
                    "maxReplicaCount": NUMBER,
                    "pollingInterval": NUMBER,
                    "cooldownPeriod": NUMBER,
                    "fallback": closed({"failureThreshold": NUMBER, "replicas": NUMBER}),
                    "advanced": closed(
                        {
                            "horizontalPodAutoscalerConfig": closed(
                                {"behavior": closed({}, {"scaleUp": SCALING, "scaleDown": SCALING})}
                            )
                        }
                    ),
                },
            ),
        ),
        resource(
            "gateway.networking.k8s.io/v1",
            "HTTPRoute",
            closed(
                {
                    "parentRefs": many(
                        closed(
                            {"name": TEXT},
                            {
                                "group": TEXT,
                                "kind": TEXT,
                                "namespace": TEXT,
                                "sectionName": TEXT,
                                "port": NUMBER,
                            },
                        )
                    ),
                    "hostnames": many(HOST) | {"maxItems": 16},
                    "rules": many(
                        closed(
                            {
                                "matches": many(
                                    closed({"path": closed({"type": {"const": "PathPrefix"}, "value": TEXT})})
                                ),
                                "backendRefs": many(closed({"name": TEXT, "port": NUMBER})),
                            },
                            {"timeouts": closed({}, {"request": DURATION, "backendRequest": DURATION})},
                        )
                    ),
                }
            ),
        ),
        resource(
            "cert-manager.io/v1",
            "Certificate",
            closed(
                {
                    "secretName": TEXT,
                    "issuerRef": closed(
                        {"name": TEXT, "kind": {"enum": ["ClusterIssuer", "Issuer"]}}, {"group": TEXT}
                    ),
                    "dnsNames": many(HOST),
                },
                {
                    "privateKey": closed(
                        {},
                        {
                            "algorithm": {"enum": ["RSA", "ECDSA", "Ed25519"]},
                            "rotationPolicy": {"enum": ["Always", "Never"]},
                        },
                    )
                },
            ),
        ),
        resource(
            "postgresql.cnpg.io/v1",
            "Cluster",
            closed(
                {
                    "instances": {"type": "integer", "minimum": 1},
                    "storage": closed({"size": TEXT}, {"storageClass": TEXT}),
                },
                {
                    "imageName": TEXT,
                    "walStorage": closed({"size": TEXT}, {"storageClass": TEXT}),
                    "resources": QUANTITIES,
                    "postgresql": closed({"parameters": LABELS}),
                    "bootstrap": closed(
                        {
                            "initdb": closed(
                                {"database": TEXT, "owner": TEXT}, {"postInitApplicationSQL": many(TEXT)}
                            )
                        }
                    ),
                },
            ),
        ),
    ]
)
