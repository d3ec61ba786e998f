{{/* What the processes are told: settings, secrets. */}}

{{/* A number as it was written: 10000000, not 1e+07. */}}
{{- define "rowhouse.text" -}}
{{- if kindIs "float64" . }}{{ printf "%.0f" . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{/* The data of the ConfigMap. The migration's has the same, as it runs before the release's own is there. */}}
{{- define "rowhouse.config" -}}
ROWHOUSE_PRODUCTION: "true"
ROWHOUSE_DATA: /var/lib/rowhouse
ROWHOUSE_RUN_DIR: /var/lib/rowhouse/run
ROWHOUSE_BASE_DOMAIN: {{ .Values.hosts.baseDomain | quote }}
ROWHOUSE_PUBLIC_HOSTS: {{ include "rowhouse.publicHosts" . | quote }}
ROWHOUSE_S3_BUCKET: {{ .Values.storage.s3.bucket | quote }}
ROWHOUSE_S3_REGION: {{ .Values.storage.s3.region | quote }}
ROWHOUSE_S3_ADDRESSING: {{ .Values.storage.s3.addressing | quote }}
ROWHOUSE_S3_CHECKSUMS: {{ .Values.storage.s3.checksums | quote }}
{{- with .Values.storage.s3.endpoint }}
ROWHOUSE_S3_ENDPOINT: {{ . | quote }}
{{- end }}
{{- with .Values.storage.s3.linkEndpoint }}
ROWHOUSE_S3_LINK_ENDPOINT: {{ . | quote }}
{{- end }}
{{- if not (hasKey .Values.config "ROWHOUSE_PROXIES") }}
ROWHOUSE_PROXIES: {{ ternary 1 0 (or .Values.ingress.enabled .Values.httpRoute.enabled) | quote }}
{{- end }}
{{- range $name, $value := .Values.config }}
{{ $name }}: {{ include "rowhouse.text" $value | quote }}
{{- end }}
{{- end -}}

{{/* A variable from a Secret: (dict "name" "secret" "key"). */}}
{{- define "rowhouse.secretEnv" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
{{- end -}}

{{/* (dict "root" $ "component" "web"): variables of a container. The web may stand behind a pooler, the others need sessions. */}}
{{- define "rowhouse.env" -}}
{{- $values := .root.Values -}}
{{- $direct := and $values.database.direct.existingSecret (ne .component "web") -}}
{{- $database := ternary $values.database.direct $values.database (not (not $direct)) -}}
{{ include "rowhouse.secretEnv" (dict "name" "DATABASE_URL" "secret" $database.existingSecret "key" $database.urlKey) }}
{{- range $name, $key := $values.secrets.keys }}
{{- if $key }}
{{ include "rowhouse.secretEnv" (dict "name" $name "secret" $values.secrets.existingSecret "key" $key) }}
{{- end }}
{{- end }}
{{- with $values.storage.s3 }}
{{- if .existingSecret }}
{{ include "rowhouse.secretEnv" (dict "name" "ROWHOUSE_S3_ACCESS_KEY" "secret" .existingSecret "key" .accessKeyKey) }}
{{ include "rowhouse.secretEnv" (dict "name" "ROWHOUSE_S3_SECRET_KEY" "secret" .existingSecret "key" .secretKeyKey) }}
{{- end }}
{{- end }}
{{- if eq .component "web" }}
- name: ROWHOUSE_WEB_BIND
  value: {{ printf "0.0.0.0:%v" $values.web.port | quote }}
{{- end }}
{{- if has .component (list "web" "worker") }}
- name: ROWHOUSE_METRICS_PORT
  value: {{ ternary $values.metrics.port 0 $values.metrics.enabled | quote }}
{{- end }}
{{- with $values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* (dict "root" $ "config" name of the ConfigMap) */}}
{{- define "rowhouse.envFrom" -}}
- configMapRef:
    name: {{ .config }}
{{- with .root.Values.extraEnvFrom }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Pods start anew when their settings change; a Secret of somebody else's cannot be read here, so it has a revision. */}}
{{- define "rowhouse.checksums" -}}
checksum/config: {{ include "rowhouse.config" . | sha256sum }}
checksum/secrets: {{ list .Values.secrets .Values.database .Values.storage | toJson | sha256sum }}
{{- end -}}
