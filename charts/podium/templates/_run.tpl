{{/* The file of `podium run --config FILE`: what the user gives, and what the chart decides over it. */}}
{{- define "podium.config" -}}
{{- $v := .Values }}
{{- $cluster := dict
  "image" (include "podium.image" .)
  "service_account" (include "podium.serviceAccount" .)
  "trial_pool" $v.run.trialPool
  "pools" (include "podium.pools" . | fromYaml) }}
{{- $given := get $v.run.config "cluster" | default dict }}
{{- /* A TrainJob takes its Secrets from its runtime. */}}
{{- if le (int (get $given "trial_nodes" | default 1)) 1 }}{{ $_ := set $cluster "secrets" $v.secrets }}{{ end }}
{{- if and $v.volume.enabled (not $v.store.uri) }}{{ $cluster = merge $cluster (dict "volume_claim" (include "podium.claim" .) "volume_path" "/podium") }}{{ end }}
{{- $own := dict
  "output" "/podium"
  "tracking" (dict "mode" $v.tracking.mode)
  "hpo" (dict "engine" $v.run.engine)
  "cluster" $cluster }}
{{- if $v.profiling.enabled }}
{{- $_ := set $own "profile" (dict
  "mode" "privileged-job"
  "namespace" $v.profiling.namespace
  "service_account" (printf "%s-profiling" (include "podium.fullname" .))) }}
{{- end }}
{{- with $v.store.uri }}{{ $_ := set $own "store" . }}{{ end }}
{{- with include "podium.trackingUri" . }}{{ $_ := set $own.tracking "uri" . }}{{ end }}
{{- $chosen := list }}
{{- range $group, $option := $v.run.options }}{{ $chosen = append $chosen (dict $group $option) }}{{ end }}
{{- if $chosen }}{{ $_ := set $own "defaults" $chosen }}{{ end }}
{{- mustMergeOverwrite (deepCopy $v.run.config) $own | toYaml }}
{{- end }}

{{- define "podium.command" -}}
{{- $data := .Values.run.data }}
{{- $line := list "podium" "run" "--config" "/etc/podium/run.yaml" }}
{{- with $data.path }}{{ $line = concat $line (list "--data" .) }}{{ end }}
{{- with $data.task }}{{ $line = concat $line (list "--task" .) }}{{ end }}
{{- with $data.textColumn }}{{ $line = concat $line (list "--text-column" .) }}{{ end }}
{{- with $data.labelColumn }}{{ $line = concat $line (list "--label-column" .) }}{{ end }}
{{- range .Values.run.entrants }}{{ $line = concat $line (list "--entrant" .) }}{{ end }}
{{- with .Values.run.timeLimit }}{{ $line = concat $line (list "--time-limit" .) }}{{ end }}
{{- toJson $line }}
{{- end }}

{{/* The spec of a run's Job. */}}
{{- define "podium.jobSpec" -}}
{{- $v := .Values }}
{{- $pool := get $v.nodePools $v.run.pool }}
backoffLimit: {{ $v.run.retries }}
{{- with $v.run.deadlineSeconds }}
activeDeadlineSeconds: {{ int . }}
{{- end }}
podFailurePolicy:
  rules:
    # A pod that is lost with its node is started again.
    - action: Ignore
      onPodConditions:
        - type: DisruptionTarget
          status: "True"
    # Exit code 2 is bad input, which stays the same.
    - action: FailJob
      onExitCodes:
        containerName: podium
        operator: In
        values: [2]
template:
  metadata:
    labels:
      {{- include "podium.unmeshedLabels" (dict "root" . "component" "run") | nindent 6 }}
  spec:
    restartPolicy: Never
    serviceAccountName: {{ include "podium.serviceAccount" . }}
    automountServiceAccountToken: {{ or (eq $v.run.engine "katib") $v.profiling.enabled }}
    enableServiceLinks: false
    terminationGracePeriodSeconds: {{ $v.run.graceSeconds }}
    {{- include "podium.pullSecrets" . | nindent 4 }}
    securityContext:
      {{- include "podium.podSecurity" . | nindent 6 }}
    {{- include "podium.placement" $pool | nindent 4 }}
    {{- with $pool.priorityClass }}
    priorityClassName: {{ . }}
    {{- end }}
    containers:
      - name: podium
        image: {{ include "podium.image" . }}
        imagePullPolicy: {{ $v.image.pullPolicy }}
        command: {{ include "podium.command" . }}
        env:
          - name: POD_NAME
            valueFrom:
              fieldRef:
                fieldPath: metadata.name
          - name: POD_UID
            valueFrom:
              fieldRef:
                fieldPath: metadata.uid
          - name: PODIUM_JOB
            valueFrom:
              fieldRef:
                fieldPath: metadata.labels['batch.kubernetes.io/controller-uid']
          - name: XDG_CACHE_HOME
            value: /podium/cache
          {{- include "podium.env" . | nindent 10 }}
        {{- include "podium.envFrom" . | nindent 8 }}
        resources:
          requests:
            cpu: {{ toString $pool.cpu | quote }}
            memory: {{ toString $pool.memory | quote }}
            {{- with $pool.device }}
            {{ . }}: {{ $pool.devices | quote }}
            {{- end }}
          limits:
            cpu: {{ toString $pool.cpu | quote }}
            memory: {{ toString $pool.memory | quote }}
            {{- with $pool.device }}
            {{ . }}: {{ $pool.devices | quote }}
            {{- end }}
        securityContext:
          {{- include "podium.containerSecurity" . | nindent 10 }}
        volumeMounts:
          - name: config
            mountPath: /etc/podium
            readOnly: true
          - name: tmp
            mountPath: /tmp
          - name: podium
            mountPath: /podium
          {{- with $pool.sharedMemory }}
          - name: shm
            mountPath: /dev/shm
          {{- end }}
          {{- if or $v.run.data.existingClaim $v.run.data.configMap }}
          - name: data
            mountPath: {{ $v.run.data.mountPath }}
            readOnly: true
          {{- end }}
    volumes:
      - name: config
        configMap:
          name: {{ include "podium.fullname" . }}-run
      - name: tmp
        emptyDir: {}
      - name: podium
        {{- if $v.volume.enabled }}
        persistentVolumeClaim:
          claimName: {{ include "podium.claim" . }}
        {{- else }}
        emptyDir: {}
        {{- end }}
      {{- with $pool.sharedMemory }}
      - name: shm
        emptyDir:
          medium: Memory
          sizeLimit: {{ . }}
      {{- end }}
      {{- if $v.run.data.existingClaim }}
      - name: data
        persistentVolumeClaim:
          claimName: {{ $v.run.data.existingClaim }}
          readOnly: true
      {{- else if $v.run.data.configMap }}
      - name: data
        configMap:
          name: {{ $v.run.data.configMap }}
      {{- end }}
{{- end }}

{{/* What the metadata of a run's Job has beside its name. */}}
{{- define "podium.jobLabels" -}}
{{- include "podium.labels" (dict "root" . "component" "run") }}
{{- with (get .Values.nodePools .Values.run.pool).queue }}
kueue.x-k8s.io/queue-name: {{ . }}
{{- end }}
{{- end }}
