{{/* What every pod has in common. */}}

{{/* (dict "root" $ "account" name): begins a pod's spec. */}}
{{- define "rowhouse.podStart" -}}
serviceAccountName: {{ .account }}
automountServiceAccountToken: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
# A Service called rowhouse-web would put ROWHOUSE_WEB_PORT and more beside our settings.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  {{- range $name, $id := .root.Values.security }}
  {{- if $id }}
  {{ $name }}: {{ include "rowhouse.text" $id }}
  {{- end }}
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{/* The same for every container: it writes nowhere but into its volumes. */}}
{{- define "rowhouse.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{- define "rowhouse.mounts" -}}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  - name: data
    mountPath: /var/lib/rowhouse
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* (dict "root" $ "tmpSize" "4Gi") */}}
{{- define "rowhouse.volumes" -}}
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: {{ .tmpSize }}
  - name: data
    emptyDir:
      sizeLimit: 1Gi
  {{- with .root.Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Where pods may run: of web, worker or jobs. */}}
{{- define "rowhouse.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* (dict "root" $ "component" "web"). By the template's hash too, so that an upgrade does not count the old pods. */}}
{{- define "rowhouse.spread" -}}
{{- if .root.Values.topologySpread.enabled }}
topologySpreadConstraints:
  {{- range .root.Values.topologySpread.topologyKeys }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: {{ $.root.Values.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "rowhouse.selectorLabels" $.root | nindent 8 }}
        app.kubernetes.io/component: {{ $.component }}
    matchLabelKeys:
      - pod-template-hash
  {{- end }}
{{- end }}
{{- end -}}

{{/* (dict "root" $ "component" "web" "of" .Values.web): metadata of a pod's template. */}}
{{- define "rowhouse.podMetadata" -}}
labels:
  {{- include "rowhouse.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
  {{- if and .root.Values.metrics.enabled (has .component (list "web" "worker")) }}
  rowhouse.io/metrics: "true"
  {{- end }}
  {{- with .of.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  {{- include "rowhouse.checksums" .root | nindent 2 }}
  {{- with .of.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "rowhouse.httpProbe" -}}
httpGet:
  path: {{ .path }}
  port: http
{{ toYaml .timing }}
{{- end -}}

{{- define "rowhouse.workerProbe" -}}
exec:
  command: [rowhouse, probe]
{{ toYaml . }}
{{- end -}}

{{/* Of a `pdb`: the one of its two numbers that counts. */}}
{{- define "rowhouse.budget" -}}
{{- if ne (toString .minAvailable) "" -}}
minAvailable: {{ .minAvailable }}
{{- else -}}
maxUnavailable: {{ .maxUnavailable }}
{{- end }}
# A pod that does not start must not hold up a node that has to be emptied.
unhealthyPodEvictionPolicy: AlwaysAllow
{{- end -}}

{{/* (dict "root" $ "component" "backup" "command" (list …) "config" "account" "deadline"): the pod of a Job. */}}
{{- define "rowhouse.jobPod" -}}
metadata:
  {{- include "rowhouse.podMetadata" (dict "root" .root "component" .component "of" .root.Values.jobs) | nindent 2 }}
spec:
  restartPolicy: Never
  {{- include "rowhouse.podStart" (dict "root" .root "account" .account) | nindent 2 }}
  containers:
    - name: {{ .component }}
      image: {{ include "rowhouse.image" .root }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      command: {{ toJson .command }}
      envFrom:
        {{- include "rowhouse.envFrom" (dict "root" .root "config" .config) | nindent 8 }}
      env:
        {{- include "rowhouse.env" (dict "root" .root "component" .component) | nindent 8 }}
      {{- include "rowhouse.containerSecurity" .root | nindent 6 }}
      resources:
        {{- toYaml .root.Values.jobs.resources | nindent 8 }}
      {{- include "rowhouse.mounts" .root | nindent 6 }}
  {{- include "rowhouse.volumes" (dict "root" .root "tmpSize" .root.Values.jobs.tmpSize) | nindent 2 }}
  {{- with include "rowhouse.placement" .root.Values.jobs | trim }}
  {{- . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* An evicted pod is no failed attempt; what was refused will be refused again. */}}
{{- define "rowhouse.podFailurePolicy" -}}
podFailurePolicy:
  rules:
    - action: Ignore
      onPodConditions:
        - type: DisruptionTarget
          status: "True"
    - action: FailJob
      onExitCodes:
        containerName: {{ .container }}
        operator: In
        values: [2]
{{- end -}}
