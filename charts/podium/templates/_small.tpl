{{/* The pod of a small task: a dict of root, component, and a list of containers, each with name and command. */}}
{{- define "podium.smallPod" -}}
{{- $root := .root }}
restartPolicy: Never
serviceAccountName: {{ include "podium.serviceAccount" $root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- include "podium.pullSecrets" $root | nindent 0 }}
securityContext:
  {{- include "podium.podSecurity" $root | nindent 2 }}
{{- include "podium.placement" $root.Values.nodePools.cpu | nindent 0 }}
containers:
  {{- range .containers }}
  - name: {{ .name }}
    image: {{ include "podium.image" $root }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    command: {{ toJson .command }}
    resources:
      requests:
        cpu: 100m
        memory: 512Mi
      limits:
        memory: 512Mi
    securityContext:
      {{- include "podium.containerSecurity" $root | nindent 6 }}
    volumeMounts:
      - name: tmp
        mountPath: /tmp
      {{- range .mounts }}
      - name: {{ .name }}
        mountPath: {{ .mountPath }}
        readOnly: true
      {{- end }}
  {{- end }}
volumes:
  - name: tmp
    emptyDir: {}
  {{- with .volumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
