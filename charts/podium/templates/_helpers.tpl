{{- define "podium.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $long := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $long .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "podium.selectorLabels" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Labels of pods: without versions, so that a new chart alone restarts nothing. */}}
{{- define "podium.podLabels" -}}
{{ include "podium.selectorLabels" . }}
app.kubernetes.io/part-of: podium
{{- end }}

{{/* Those of all pods: without a sidecar of Istio. It keeps pods from their end, and MLflow from those that have none. */}}
{{- define "podium.unmeshedLabels" -}}
{{ include "podium.podLabels" . }}
sidecar.istio.io/inject: "false"
{{- end }}

{{- define "podium.labels" -}}
{{ include "podium.podLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{/* Name, namespace and labels of an object: a dict of root, component, and a suffix of the name where there is one. */}}
{{- define "podium.metadata" -}}
name: {{ include "podium.fullname" .root }}{{ with .suffix }}-{{ . }}{{ end }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "podium.labels" . | nindent 2 }}
{{- end }}

{{- define "podium.serviceAccount" -}}
{{- default (ternary (include "podium.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{/* A reference to an image: a dict of registry, repository, tag and digest. */}}
{{- define "podium.imageOf" -}}
{{- with .registry }}{{ . }}/{{ end }}{{ .repository }}{{ ternary (printf "@%s" .digest) (printf ":%s" .tag) (ne .digest "") }}
{{- end }}

{{- define "podium.image" -}}
{{- $image := .Values.image }}
{{- include "podium.imageOf" (merge (dict "tag" (default .Chart.AppVersion $image.tag)) $image) }}
{{- end }}

{{- define "podium.mlflowImage" -}}
{{- $image := .Values.mlflow.image }}
{{- if not $image.repository }}
{{- include "podium.image" . }}
{{- else }}
{{- include "podium.imageOf" (merge (dict "registry" (default .Values.image.registry $image.registry)) $image) }}
{{- end }}
{{- end }}

{{- define "podium.runs" -}}
{{- if or .Values.run.enabled .Values.schedule.enabled }}true{{ end }}
{{- end }}

{{- define "podium.usesCluster" -}}
{{- if and (include "podium.runs" .) (eq .Values.run.engine "katib") }}true{{ end }}
{{- end }}

{{- define "podium.mlflowName" -}}
{{ include "podium.fullname" . }}-mlflow
{{- end }}

{{- define "podium.trackingUri" -}}
{{- if eq .Values.tracking.mode "mlflow" }}{{ default (printf "http://%s:5000" (include "podium.mlflowName" .)) .Values.tracking.uri }}{{ end }}
{{- end }}

{{- define "podium.claim" -}}
{{- default (include "podium.fullname" .) .Values.volume.existingClaim }}
{{- end }}

{{- define "podium.podSecurity" -}}
runAsNonRoot: true
{{- if not .Values.clusterUser }}
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "podium.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "podium.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "podium.env" -}}
{{- range $name, $value := .Values.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{- define "podium.envFrom" -}}
{{- with .Values.secrets }}
envFrom:
  {{- range . }}
  - secretRef:
      name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Where pods of a pool run. */}}
{{- define "podium.placement" -}}
{{- with .selector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $taints := .tolerations }}
{{- if .spot }}{{ $taints = concat $taints (list "cloud.google.com/gke-spot" "kubernetes.azure.com/scalesetpriority") }}{{ end }}
{{- with $taints }}
tolerations:
  {{- range . }}
  {{- $parts := splitList ":" . }}
  {{- $pair := splitn "=" 2 (first $parts) }}
  - key: {{ $pair._0 | quote }}
    {{- if contains "=" (first $parts) }}
    operator: Equal
    value: {{ $pair._1 | quote }}
    {{- else }}
    operator: Exists
    {{- end }}
    {{- if gt (len $parts) 1 }}
    effect: {{ last $parts }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The pools as `cluster.pools` of Podium's config. */}}
{{- define "podium.pools" -}}
{{- range $name, $pool := .Values.nodePools }}
{{ $name }}:
  selector: {{ toJson $pool.selector }}
  tolerations: {{ toJson $pool.tolerations }}
  cpu: {{ toString $pool.cpu | quote }}
  memory: {{ toString $pool.memory | quote }}
  device: {{ toJson $pool.device }}
  devices: {{ int $pool.devices }}
  shared_memory: {{ toJson $pool.sharedMemory }}
  priority_class: {{ toJson $pool.priorityClass }}
  queue: {{ toJson $pool.queue }}
  spot: {{ $pool.spot }}
{{- end }}
{{- end }}

{{/* The Host headers that MLflow answers to: its service's names, and a port that is forwarded. */}}
{{- define "podium.mlflowHosts" -}}
{{- $name := include "podium.mlflowName" . }}
{{- $hosts := list }}
{{- range list $name (printf "%s.%s" $name .Release.Namespace) (printf "%s.%s.svc" $name .Release.Namespace) (printf "%s.%s.svc.cluster.local" $name .Release.Namespace) }}
{{- $hosts = concat $hosts (list . (printf "%s:5000" .)) }}
{{- end }}
{{- join "," (concat $hosts (list "localhost" "localhost:*" "127.0.0.1:*") .Values.mlflow.allowedHosts) }}
{{- end }}

{{/* A policy sees the ports of pods: those of DNS have 53, and on OpenShift 5353. */}}
{{- define "podium.dnsEgress" -}}
- ports:
    {{- range list 53 5353 }}
    - port: {{ . }}
      protocol: UDP
    - port: {{ . }}
      protocol: TCP
    {{- end }}
{{- end }}

{{- define "podium.openEgress" -}}
{{ include "podium.dnsEgress" . }}
{{- with .Values.networkPolicy.egressPorts }}
- ports:
    {{- range . }}
    - port: {{ int . }}
      protocol: TCP
    {{- end }}
{{- end }}
{{- end }}

{{/* Egress to the port of a URL. */}}
{{- define "podium.egressTo" -}}
{{- $url := urlParse . }}
{{- $port := ternary "443" "80" (eq $url.scheme "https") }}
- ports:
    - port: {{ ternary (last (splitList ":" $url.host)) $port (regexMatch ":[0-9]+$" $url.host) }}
      protocol: TCP
{{- end }}

{{/* Egress to the MLflow of the chart. */}}
{{- define "podium.mlflowEgress" -}}
- to:
    - podSelector:
        matchLabels:
          {{- include "podium.selectorLabels" (dict "root" . "component" "mlflow") | nindent 10 }}
  ports:
    - port: 5000
      protocol: TCP
{{- end }}
