{{/* Names, labels, image. */}}

{{/* Short enough that what is put behind it stays below 52 characters, the limit of CronJobs. */}}
{{- define "rowhouse.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 38 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 38 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 38 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What selectors look for: never anything that changes with a release. */}}
{{- define "rowhouse.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "rowhouse.labels" -}}
{{ include "rowhouse.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: rowhouse
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "rowhouse.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "rowhouse.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "rowhouse.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* A hook runs before the release's own account is there, so it brings one. */}}
{{- define "rowhouse.migrateServiceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- printf "%s-migrate" (include "rowhouse.serviceAccountName" .) -}}
{{- else -}}
{{- include "rowhouse.serviceAccountName" . -}}
{{- end -}}
{{- end -}}

{{- define "rowhouse.tlsSecret" -}}
{{- default (printf "%s-tls" (include "rowhouse.fullname" .)) .Values.ingress.tlsSecret -}}
{{- end -}}

{{/* Hosts of the operator site, separated by commas. */}}
{{- define "rowhouse.publicHosts" -}}
{{- join "," (default (list .Values.hosts.baseDomain) .Values.hosts.public) -}}
{{- end -}}

{{/* Every host but the custom ones, as a YAML list. A wildcard does not match the bare domain, so both are there. */}}
{{- define "rowhouse.hosts" -}}
{{- $base := .Values.hosts.baseDomain -}}
{{- concat (list $base (printf "*.%s" $base)) .Values.hosts.public | uniq | toYaml -}}
{{- end -}}
