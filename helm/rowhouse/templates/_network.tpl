{{/* What every pod of the platform must reach: names and the database. */}}
{{- define "rowhouse.baseEgress" -}}
- to:
    {{- toYaml .Values.networkPolicy.egress.dns.to | nindent 4 }}
  ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- if .Values.config.ROWHOUSE_DNS_RESOLVERS }}
# config.ROWHOUSE_DNS_RESOLVERS: whoever is asked for the records that verify domains.
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end }}
- {{ include "rowhouse.peersAndPorts" .Values.networkPolicy.egress.database | nindent 2 | trim }}
{{- end -}}

{{/* Of {to: […], ports: […]}; without peers anywhere. */}}
{{- define "rowhouse.peersAndPorts" -}}
{{- with .to -}}
to:
  {{- toYaml . | nindent 2 }}
{{ end -}}
ports:
  {{- range .ports }}
  - {protocol: TCP, port: {{ . }}}
  {{- end }}
{{- end -}}
