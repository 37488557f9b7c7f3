"""Every call that we make to a Kubernetes API server; the chart grants these and no others."""

from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from urllib3.exceptions import HTTPError

from umo.errors import (
    DeniedError,
    DiffersError,
    ExitCode,
    NotFoundError,
    UmoError,
    UsageError,
)

GROUP, VERSION, TRAINJOBS = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
SECONDS = 30.0
"""Longest that a call may take."""


class Kube:
    """One namespace of a cluster: that of the environment's kubeconfig, or of the pod.

    Args:
        namespace: Its name; that of the context, or of the pod, by default.

    Raises:
        UsageError: There is neither a kubeconfig nor a pod's account.
    """

    def __init__(self, namespace: str = "") -> None:
        try:
            config.load_incluster_config()
            file = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
            with open(file, encoding="utf-8") as stream:
                own = stream.read().strip()
        except (ConfigException, OSError):
            try:
                config.load_kube_config()
                _, active = config.list_kube_config_contexts()
            except (ConfigException, OSError) as error:
                raise UsageError(
                    f"no cluster: {error}", hint="set KUBECONFIG, or log in to your cluster"
                ) from error
            own = active["context"].get("namespace", "default")
        self.namespace = namespace or own
        self._core = client.CoreV1Api()
        self._custom = client.CustomObjectsApi()
        self._storage = client.StorageV1Api()
        self._authorization = client.AuthorizationV1Api()

    def create_job(self, job: dict[str, Any]) -> None:
        """Submit a TrainJob.

        Raises:
            DiffersError: There is one of that name.
        """
        self._do(
            f"create the TrainJob {job['metadata']['name']}",
            self._custom.create_namespaced_custom_object,
            *(GROUP, VERSION, self.namespace, TRAINJOBS, job),
        )

    def job(self, name: str) -> dict[str, Any]:
        """A TrainJob.

        Raises:
            NotFoundError: There is none of that name.
        """
        found: dict[str, Any] = self._do(
            f"read the TrainJob {name}",
            self._custom.get_namespaced_custom_object,
            *(GROUP, VERSION, self.namespace, TRAINJOBS, name),
        )
        return found

    def delete_job(self, name: str) -> None:
        """Remove a TrainJob and its pods; checkpoints stay.

        Raises:
            NotFoundError: There is none of that name.
        """
        self._do(
            f"delete the TrainJob {name}",
            self._custom.delete_namespaced_custom_object,
            *(GROUP, VERSION, self.namespace, TRAINJOBS, name),
        )

    def pods(self, labels: str) -> list[Any]:
        """Pods with labels, the oldest first."""
        found = self._do(
            "list the pods", self._core.list_namespaced_pod, self.namespace, label_selector=labels
        )
        return sorted(found.items, key=lambda pod: pod.metadata.creation_timestamp)

    def events(self, about: str) -> list[Any]:
        """Events about an object by its name, the oldest first."""
        found = self._do(
            "list the events",
            self._core.list_namespaced_event,
            self.namespace,
            field_selector=f"involvedObject.name={about}",
        )
        return list(found.items)

    def log(self, pod: str, *, container: str, lines: int) -> str:
        """The last lines of a container."""
        text: str = self._do(
            f"read the log of {pod}",
            self._core.read_namespaced_pod_log,
            pod,
            self.namespace,
            container=container,
            tail_lines=lines,
        )
        return text

    def secret_keys(self, name: str) -> set[str]:
        """Names of what a secret holds.

        Raises:
            NotFoundError: There is no such secret.
        """
        found = self._do(
            f"read the secret {name}", self._core.read_namespaced_secret, name, self.namespace
        )
        return set(found.data or {})

    def nodes(self) -> list[Any]:
        """The cluster's nodes."""
        return list(self._do("list the nodes", self._core.list_node).items)

    def storage_classes(self) -> list[Any]:
        """The cluster's storage classes."""
        classes = self._do("list the storage classes", self._storage.list_storage_class)
        return list(classes.items)

    def serves(self, group: str, version: str) -> set[str]:
        """Names of the resources of an API group; nothing if it is not installed."""
        try:
            found = self._do("look", self._custom.get_api_resources, group, version)
        except NotFoundError:
            return set()
        return {resource.name for resource in found.resources}

    def may(self, verb: str, group: str, resource: str) -> bool:
        """Whether this account may do something in the namespace."""
        name, _, part = resource.partition("/")
        question = client.V1SelfSubjectAccessReview(
            spec=client.V1SelfSubjectAccessReviewSpec(
                resource_attributes=client.V1ResourceAttributes(
                    namespace=self.namespace,
                    verb=verb,
                    group=group,
                    resource=name,
                    subresource=part or None,
                )
            )
        )
        answer = self._do(
            "ask for rights", self._authorization.create_self_subject_access_review, question
        )
        return bool(answer.status.allowed)

    def _do(self, doing: str, method: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return method(*arguments, **options, _request_timeout=SECONDS)
        except ApiException as error:
            where = f"{doing} in {self.namespace}"
            match error.status:
                case 401 | 403:
                    raise DeniedError(
                        f"the cluster does not let you {where}",
                        hint="ask its operator for a role of the chart",
                    ) from error
                case 404:
                    raise NotFoundError(f"cannot {where}: there is none") from error
                case 409:
                    raise DiffersError(f"cannot {where}: it is there already") from error
            passing = (error.status or 500) >= 500
            raise UmoError(
                f"cannot {where}: {error.status} {error.reason}",
                exit_code=ExitCode.INTERRUPTED if passing else ExitCode.FAILED,
                retryable=passing,
            ) from error
        except HTTPError as error:
            raise UmoError(
                f"cannot reach the cluster to {doing}: {type(error).__name__}",
                hint="is the cluster up, and the VPN?",
                exit_code=ExitCode.INTERRUPTED,
                retryable=True,
            ) from error
