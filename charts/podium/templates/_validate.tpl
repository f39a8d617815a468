{{/* What the schema cannot say: values that contradict each other, each with the way on. */}}
{{- define "podium.validate" -}}
{{- $v := .Values }}
{{- range $name, $value := $v.env }}
{{- if regexMatch "TOKEN|SECRET|PASSW|CREDENTIAL|_KEY(_ID)?$" (upper $name) }}
{{- fail (printf "env.%s looks like a credential, which would be readable in the release and in every pod's spec; put it into a Secret and name that in secrets" $name) }}
{{- end }}
{{- end }}
{{- if not $v.image.repository }}
{{- fail "image.repository must name the image that all pods run, those of trials too, but is empty; set it to where you keep the image of images/podium-python" }}
{{- end }}
{{- $dataset := get $v.run.config "dataset" | default dict }}
{{- if and (include "podium.runs" .) (not $v.run.data.path) (not (get $v.run.options "dataset")) (not (get $dataset "path")) }}
{{- fail (printf "%s needs data, and the image holds none: set run.data.path (with run.data.configMap or run.data.existingClaim, or to a URI), run.config.dataset.path, or run.options.dataset with an image of your own that has it" (ternary "run.enabled" "schedule.enabled" $v.run.enabled)) }}
{{- end }}
{{- if and (include "podium.runs" .) (not $v.store.uri) (not $v.volume.enabled) }}
{{- fail (printf "%s needs a store that outlives its pod, but store.uri is empty and volume.enabled is false; set store.uri (such as s3://bucket/podium) or volume.enabled=true" (ternary "run.enabled" "schedule.enabled" $v.run.enabled)) }}
{{- end }}
{{- if and (include "podium.usesCluster" .) (not $v.store.uri) (not $v.volume.existingClaim) (not (has "ReadWriteMany" $v.volume.accessModes)) }}
{{- fail (printf "run.engine=katib runs trials on other nodes, which must reach the store, but store.uri is empty and volume.accessModes is %s; set store.uri (such as s3://bucket/podium) or volume.accessModes={ReadWriteMany}" (toJson $v.volume.accessModes)) }}
{{- end }}
{{- if and (eq $v.tracking.mode "mlflow") (not $v.mlflow.enabled) (not $v.tracking.uri) }}
{{- fail "tracking.mode=mlflow needs a server, but mlflow.enabled is false and tracking.uri is empty; set tracking.uri to your MLflow, mlflow.enabled=true, or tracking.mode=off" }}
{{- end }}
{{- if and $v.mlflow.enabled $v.tracking.uri }}
{{- fail (printf "tracking.uri names an MLflow of your own (%s), and mlflow.enabled would start another one; set mlflow.enabled=false, or leave tracking.uri out" $v.tracking.uri) }}
{{- end }}
{{- if and $v.mlflow.enabled (not $v.mlflow.volume.enabled) (not (and $v.mlflow.database.existingSecret $v.mlflow.artifacts.destination)) }}
{{- fail "mlflow.volume.enabled=false loses what is not kept elsewhere: set both mlflow.database.existingSecret and mlflow.artifacts.destination, or mlflow.volume.enabled=true" }}
{{- end }}
{{- if and $v.mlflow.enabled (gt (int $v.mlflow.replicas) 1) (not (and $v.mlflow.database.existingSecret $v.mlflow.artifacts.destination)) }}
{{- fail (printf "mlflow.replicas=%d servers must share a database and an object store; set mlflow.database.existingSecret and mlflow.artifacts.destination, or mlflow.replicas=1" (int $v.mlflow.replicas)) }}
{{- end }}
{{- if and $v.mlflow.image.repository (not $v.mlflow.image.tag) (not $v.mlflow.image.digest) }}
{{- fail (printf "mlflow.image.repository=%s is an image of your own, whose version the chart does not know; set mlflow.image.tag or mlflow.image.digest" $v.mlflow.image.repository) }}
{{- end }}
{{- if and $v.run.data.existingClaim $v.run.data.configMap }}
{{- fail "run.data.existingClaim and run.data.configMap exclude each other; the data has one place, leave one of them out" }}
{{- end }}
{{- if and (or $v.run.data.existingClaim $v.run.data.configMap) $v.run.data.path (not (hasPrefix (printf "%s/" $v.run.data.mountPath) (printf "%s/" $v.run.data.path))) }}
{{- fail (printf "run.data.path=%s must lie below run.data.mountPath=%s, where run.data.existingClaim or run.data.configMap is mounted; correct one of them" $v.run.data.path $v.run.data.mountPath) }}
{{- end }}
{{- if and (not $v.serviceAccount.create) (not $v.serviceAccount.name) $v.rbac.create (include "podium.usesCluster" .) }}
{{- fail "run.engine=katib needs a service account with rights on the API, and the namespace's default one should not get them; set serviceAccount.name or serviceAccount.create=true" }}
{{- end }}
{{- if and $v.kueue.localQueue.enabled (not $v.kueue.localQueue.clusterQueue) }}
{{- fail "kueue.localQueue.enabled needs the ClusterQueue that the queue belongs to; set kueue.localQueue.clusterQueue (kubectl get clusterqueues lists them)" }}
{{- end }}
{{- if and $v.profiling.enabled (eq $v.profiling.namespace .Release.Namespace) }}
{{- fail (printf "profiling.namespace=%s is the namespace of the release, whose pods meet the Pod Security Standard restricted; name another one" $v.profiling.namespace) }}
{{- end }}
{{- if and $v.volume.enabled (not $v.volume.existingClaim) }}
{{- include "podium.sameClaim" (dict "root" . "name" (include "podium.fullname" .) "path" "volume" "volume" $v.volume) }}
{{- end }}
{{- if and $v.mlflow.enabled $v.mlflow.volume.enabled (not $v.mlflow.volume.existingClaim) }}
{{- include "podium.sameClaim" (dict "root" . "name" (include "podium.mlflowName" .) "path" "mlflow.volume" "volume" $v.mlflow.volume) }}
{{- end }}
{{- end }}

{{/* A claim that exists cannot get other access modes: a dict of root, name, and path and values of the volume. */}}
{{- define "podium.sameClaim" -}}
{{- $namespace := .root.Release.Namespace }}
{{- with lookup "v1" "PersistentVolumeClaim" $namespace .name }}
{{- if ne (toJson .spec.accessModes) (toJson $.volume.accessModes) }}
{{- fail (printf "%s.accessModes must be those of the claim %s, %s, which cannot be changed, but is %s; leave it, name another claim in %s.existingClaim, or delete this one with what it holds (kubectl delete pvc -n %s %s)" $.path $.name (toJson .spec.accessModes) (toJson $.volume.accessModes) $.path $namespace $.name) }}
{{- end }}
{{- end }}
{{- end }}
