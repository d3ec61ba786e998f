{{/* What no schema can say: what must be given, and what does not go together. Each sentence names the key. */}}
{{- define "rowhouse.checks" -}}
{{- $_ := required "hosts.baseDomain: name the domain below which tenants are served, such as rowhouse.example.com." .Values.hosts.baseDomain -}}
{{- $_ := required "secrets.existingSecret: name the Secret that holds the secret key (and the key of backups)." .Values.secrets.existingSecret -}}
{{- $_ := required "secrets.keys.ROWHOUSE_SECRET_KEY: name the key of the Secret that signs sessions." .Values.secrets.keys.ROWHOUSE_SECRET_KEY -}}
{{- $_ := required "database.existingSecret: name the Secret that holds the address of PostgreSQL." .Values.database.existingSecret -}}
{{- $_ := required "storage.s3.bucket: name the bucket of all files; pods keep none." .Values.storage.s3.bucket -}}
{{- if and .Values.worker.autoscaling.enabled .Values.worker.keda.enabled -}}
{{- fail "worker.autoscaling.enabled and worker.keda.enabled: only one of them can scale the workers." -}}
{{- end -}}
{{- range $at, $scaling := dict "web.autoscaling" .Values.web.autoscaling "worker.autoscaling" .Values.worker.autoscaling "worker.keda" .Values.worker.keda -}}
{{- if and $scaling.enabled (gt (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- fail (printf "%s.minReplicas: %v is more than %s.maxReplicas, %v." $at $scaling.minReplicas $at $scaling.maxReplicas) -}}
{{- end -}}
{{- end -}}
{{- $web := ternary .Values.web.autoscaling.minReplicas .Values.web.replicas .Values.web.autoscaling.enabled -}}
{{- $worker := .Values.worker.replicas -}}
{{- if .Values.worker.autoscaling.enabled }}{{ $worker = .Values.worker.autoscaling.minReplicas }}{{ end -}}
{{- if .Values.worker.keda.enabled }}{{ $worker = .Values.worker.keda.minReplicas }}{{ end -}}
{{- range $of := list (list "web" .Values.web.pdb $web) (list "worker" .Values.worker.pdb $worker) -}}
{{- $pdb := index $of 1 -}}
{{- if and $pdb.enabled (regexMatch "^[0-9]+$" (toString $pdb.minAvailable)) (ge (int $pdb.minAvailable) (int (index $of 2))) -}}
{{- fail (printf "%s.pdb.minAvailable: with %v of %v pods that must stay no node can ever be emptied." (index $of 0) $pdb.minAvailable (index $of 2)) -}}
{{- end -}}
{{- end -}}
{{- $leaving := add (int .Values.web.drainSeconds) (int (default 5 .Values.config.ROWHOUSE_WEB_DRAIN_SECONDS)) (int (default 30 .Values.config.ROWHOUSE_WEB_GRACEFUL_TIMEOUT)) 5 -}}
{{- if lt (int .Values.web.terminationGracePeriodSeconds) (int $leaving) -}}
{{- fail (printf "web.terminationGracePeriodSeconds: at least %d, for the drain and the requests that are being answered." $leaving) -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs: name the Gateway that the route belongs to." -}}
{{- end -}}
{{- if and .Values.certificate.enabled (not .Values.certificate.issuer.name) -}}
{{- fail "certificate.issuer.name: name an issuer of cert-manager that solves DNS-01." -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.enabled) -}}
{{- fail "metrics.serviceMonitor.enabled: there is nothing to scrape without metrics.enabled." -}}
{{- end -}}
{{- if eq (int .Values.metrics.port) (int .Values.web.port) -}}
{{- fail "metrics.port: metrics have a port of their own, not that of the web (web.port)." -}}
{{- end -}}
{{- end -}}
