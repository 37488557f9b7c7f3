{{/* Names under which MLflow answers; others get 403, against DNS rebinding */}}
{{- define "umo.mlflow.hosts" -}}
{{- $name := printf "%s-mlflow" (include "umo.name" .) -}}
{{- $names := list $name (printf "%s.%s" $name .Release.Namespace) (printf "%s.%s.svc" $name .Release.Namespace) (printf "%s.%s.svc.cluster.local" $name .Release.Namespace) "localhost" "127.0.0.1" -}}
{{- $hosts := list -}}
{{- range $names -}}
{{- $hosts = concat $hosts (list . (printf "%s:*" .)) -}}
{{- end -}}
{{- join "," (concat $hosts .Values.mlflow.hosts) -}}
{{- end -}}
