{{/* Pod of a job: dict root, part, containers, initContainers, volumes, user */}}
{{- define "umo.job.pod" -}}
metadata:
  labels: {{- include "umo.labels" . | nindent 4 }}
spec:
  restartPolicy: Never
  {{- include "umo.pod" (dict "root" .root "user" .user) | nindent 2 }}
{{- end -}}

{{/* Findings of checkov that are meant so, for jobs */}}
{{- define "umo.job.checks" -}}
{{ include "umo.checks" . }}
checkov.io/skip4: CKV_K8S_8=a job that ends needs no liveness probe
checkov.io/skip5: CKV_K8S_9=a job answers nobody
checkov.io/skip6: CKV_K8S_40=the image of Postgres knows its user as 999
{{- end -}}
