{{- define "umo.name" -}}
{{- .Values.fullnameOverride | default (printf "%s-umo-platform" .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels that select: dict root, part */}}
{{- define "umo.selector" -}}
app.kubernetes.io/name: umo-platform
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{- define "umo.labels" -}}
{{ include "umo.selector" . }}
app.kubernetes.io/part-of: umo-platform
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end -}}

{{/* Reference of an image: dict root, image, variant (cpu, cuda or nothing) */}}
{{- define "umo.image" -}}
{{- $repository := .image.repository -}}
{{- with .root.Values.images.registry -}}
{{- $repository = printf "%s/%s" . (trimPrefix "docker.io/" $repository) -}}
{{- end -}}
{{- if .image.digest -}}
{{ $repository }}@{{ .image.digest }}
{{- else -}}
{{ $repository }}:{{ .image.tag | default (printf "%s-%s" .root.Chart.AppVersion .variant) }}
{{- end -}}
{{- end -}}

{{- define "umo.components" -}}
{{ include "umo.image" (dict "root" . "image" .Values.images.components "variant" "cpu") }}
{{- end -}}

{{/* What every pod has: dict root, user */}}
{{- define "umo.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user | default 10001 }}
  runAsGroup: {{ .user | default 10001 }}
  fsGroup: {{ .user | default 10001 }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What every container has */}}
{{- define "umo.container" -}}
imagePullPolicy: {{ .Values.images.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{/* Variables for programs of the components image, whose root is read-only */}}
{{- define "umo.home" -}}
- {name: HOME, value: /tmp}
- {name: NUMBA_CACHE_DIR, value: /tmp/numba}
- {name: MPLCONFIGDIR, value: /tmp/matplotlib}
{{- end -}}

{{/* Variables of an account: its secret */}}
{{- define "umo.account" -}}
{{- $secret := . -}}
{{- range list "MLFLOW_TRACKING_URI" "MLFLOW_TRACKING_USERNAME" "MLFLOW_TRACKING_PASSWORD" "UMO_LEDGER" }}
- name: {{ . }}
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ . }}}}
{{- end }}
{{- end -}}

{{/* Variables to reach the S3 */}}
{{- define "umo.s3" -}}
{{- with include "umo.endpoint" . }}
- {name: MLFLOW_S3_ENDPOINT_URL, value: {{ . | quote }}}
- {name: AWS_ENDPOINT_URL_S3, value: {{ . | quote }}}
{{- end }}
- {name: AWS_DEFAULT_REGION, value: {{ .Values.storage.region | quote }}}
{{- with .Values.secrets.storage }}
- name: AWS_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: {{ . }}, key: AWS_ACCESS_KEY_ID}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ . }}, key: AWS_SECRET_ACCESS_KEY}}
{{- end }}
{{- end -}}

{{- define "umo.endpoint" -}}
{{- if .Values.storage.endpoint -}}
{{ .Values.storage.endpoint }}
{{- else if .Values.storage.embedded.enabled -}}
http://{{ include "umo.name" . }}-storage:8333
{{- end -}}
{{- end -}}

{{/* Findings of checkov that are meant so; each with its reason */}}
{{- define "umo.checks" -}}
checkov.io/skip1: CKV_K8S_43=an image is named by digest where values give one
checkov.io/skip2: CKV_K8S_35=the programs read their accounts from the environment
checkov.io/skip3: CKV_K8S_15=tags are fixed, and air-gapped nodes may have no registry to ask
{{- end -}}
