{{/* What the pods of operator and console have alike; all take root and part. */}}

{{- define "fec.pod.metadata" -}}
{{- $values := index .root.Values .part -}}
labels:
{{- merge (dict) (include "fec.part.selector" . | fromYaml) $values.podLabels (include "fec.labels" .root | fromYaml) | toYaml | nindent 2 }}
annotations:
{{- merge (dict) (dict "kubectl.kubernetes.io/default-container" .part) $values.podAnnotations .root.Values.commonAnnotations | toYaml | nindent 2 }}
{{- end }}

{{- define "fec.pod.settings" -}}
{{- $values := index .root.Values .part -}}
serviceAccountName: {{ include "fec.part.account" . }}
automountServiceAccountToken: true
enableServiceLinks: false
terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
securityContext:
{{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
{{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
{{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
{{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
{{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.topologySpreadConstraints }}
topologySpreadConstraints:
{{- $selector := dict "labelSelector" (dict "matchLabels" (include "fec.part.selector" $ | fromYaml)) }}
{{- range . }}
  - {{- omit $selector (ternary "labelSelector" "" (hasKey . "labelSelector")) | merge (dict) . | toYaml | nindent 4 }}
{{- end }}
{{- end }}
{{- end }}

{{/* Settings as environment: each name becomes prefix and NAME_IN_CAPITALS, numbers are written in full and lists as JSON. */}}
{{- define "fec.settings" -}}
{{- range $name, $value := .settings }}
- name: {{ printf "%s%s" $.prefix ($name | snakecase | upper) }}
  value: {{ ternary $value (toJson $value) (kindIs "string" $value) | quote }}
{{- end }}
{{- end }}

{{/* Liveness is patient and knows nothing of appliances; readiness asks the Kubernetes API, which may take five seconds. */}}
{{- define "fec.container.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 6
  failureThreshold: 3
{{- end }}

{{- define "fec.container.image" -}}
image: {{ include "fec.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{/* Resources, security, and /tmp, which is all that can be written to. */}}
{{- define "fec.container.limits" -}}
{{- $values := index .root.Values .part -}}
resources:
{{- toYaml $values.resources | nindent 2 }}
securityContext:
{{- toYaml .root.Values.securityContext | nindent 2 }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
{{- with $values.extraVolumeMounts }}
{{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "fec.pod.volumes" -}}
{{- $values := index .root.Values .part -}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- with $values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* A PodDisruptionBudget, where there is a pod to spare. */}}
{{- define "fec.disruption" -}}
{{- $values := index .root.Values .part }}
{{- if and $values.podDisruptionBudget (gt (int $values.replicas) 1) }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
{{- include "fec.metadata" (dict "root" .root "name" (include "fec.part.name" .) "part" .part) | nindent 2 }}
spec:
  minAvailable: 1
  # A pod that is not healthy keeps nobody from draining its node.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
    {{- include "fec.part.selector" . | nindent 6 }}
{{- end }}
{{- end }}

{{/* The identity of a part, unless somebody else made it. */}}
{{- define "fec.account" -}}
{{- $values := (index .root.Values .part).serviceAccount }}
{{- if $values.create }}
apiVersion: v1
kind: ServiceAccount
metadata:
{{- include "fec.metadata" (dict "root" .root "name" (include "fec.part.account" .) "annotations" $values.annotations) | nindent 2 }}
# Only the part's own pods get its token.
automountServiceAccountToken: false
{{- end }}
{{- end }}
