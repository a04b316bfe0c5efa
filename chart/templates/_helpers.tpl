{{- define "pc.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The release's name, or release-provenance-collector where the release's does not contain it. */}}
{{- define "pc.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "pc.selector" -}}
app.kubernetes.io/name: {{ include "pc.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pc.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "pc.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "pc.webLabels" -}}
{{ include "pc.labels" . }}
app.kubernetes.io/component: web
{{- end }}

{{- define "pc.account" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "pc.fullname" .) }}{{ else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- define "pc.webAccount" -}}
{{- $own := .Values.webUI.serviceAccount }}
{{- if $own.create }}{{ $own.name | default (printf "%s-web" (include "pc.fullname" .)) }}{{ else }}{{ $own.name | default "default" }}{{ end }}
{{- end }}

{{- define "pc.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "pc.claim" -}}
{{- .Values.persistence.existingClaim | default (printf "%s-reports" (include "pc.fullname" .)) }}
{{- end }}

{{- define "pc.cacheClaim" -}}
{{- .Values.cache.existingClaim | default (printf "%s-cache" (include "pc.fullname" .)) }}
{{- end }}

{{/* A list, or text with commas, as text with commas. */}}
{{- define "pc.joined" -}}
{{- if kindIs "slice" . }}{{ join "," . }}{{ else if not (kindIs "invalid" .) }}{{ . | toString }}{{ end }}
{{- end }}

{{/* The places reports go to, with commas around each: ",http,pvc,". */}}
{{- define "pc.outputs" -}}
{{- $said := include "pc.joined" .Values.config.reportOutput | default .Values.persistence.mode }}
{{- $said = $said | default (ternary "http" "pvc" .Values.webUI.enabled) }}
{{- if and .Values.policyReport.enabled (not (contains "policyreport" $said)) }}{{ $said = printf "%s,policyreport" $said }}{{ end }}
{{- printf ",%s," ($said | replace " " "") }}
{{- end }}

{{/* Whether the collector mounts the volume. */}}
{{- define "pc.writesFiles" -}}
{{- if contains ",pvc," (include "pc.outputs" .) }}true{{ end }}
{{- end }}

{{- define "pc.uploads" -}}
{{- if contains ",http," (include "pc.outputs" .) }}true{{ end }}
{{- end }}

{{- define "pc.uploadUrl" -}}
{{- .Values.config.reportUploadUrl | default (printf "http://%s-web-internal.%s.svc:%v/internal/reports" (include "pc.fullname" .) .Release.Namespace (int .Values.webUI.internalPort)) }}
{{- end }}

{{- define "pc.issuer" -}}
{{- $keycloak := .Values.frontend.keycloak | default dict }}
{{- if .Values.webUI.oidcIssuer }}{{ .Values.webUI.oidcIssuer }}
{{- else if and $keycloak.url $keycloak.realm }}{{ printf "%s/realms/%s" (trimSuffix "/" $keycloak.url) $keycloak.realm }}{{ end }}
{{- end }}

{{/* Whether the dashboard can start scans: it must know who asks. */}}
{{- define "pc.scans" -}}
{{- if and .Values.webUI.enabled (include "pc.issuer" .) }}true{{ end }}
{{- end }}

{{/* Whether the dashboard needs the API. */}}
{{- define "pc.webNeedsApi" -}}
{{- if or (include "pc.scans" .) (and .Values.webUI.enabled (eq .Values.upload.auth "account")) }}true{{ end }}
{{- end }}

{{/*
The variables that values set, of options.yaml: `command` is collect or serve. A value that is empty sets none.
*/}}
{{- define "pc.options" -}}
{{- range index (.root.Files.Get "options.yaml" | fromYaml) .command }}
{{- $at := $.root.Values }}
{{- range splitList "." .path }}
{{- if kindIs "map" $at }}{{ $at = index $at . }}{{ else }}{{ $at = "" }}{{ end }}
{{- end }}
{{- if kindIs "map" $at }}{{ if $at }}{{ $at = toJson $at }}{{ else }}{{ $at = "" }}{{ end }}{{ end }}
{{- if kindIs "float64" $at }}{{ $at = int64 $at }}{{ end }}
{{- $text := include "pc.joined" $at }}
{{- if $text }}
{{ .env }}: {{ $text | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* The collector's variables, without those of one pod. */}}
{{- define "pc.collectorEnv" -}}
{{- $env := include "pc.options" (dict "root" . "command" "collect") | fromYaml }}
{{- $_ := set $env "PROVENANCE_REPORT_OUTPUT" (include "pc.outputs" . | trimAll ",") }}
{{- if include "pc.uploads" . }}
{{- $_ := set $env "PROVENANCE_REPORT_UPLOAD_URL" (include "pc.uploadUrl" .) }}
{{- if eq .Values.upload.auth "token" }}{{ $_ := set $env "PROVENANCE_REPORT_UPLOAD_TOKEN_FILE" (printf "/etc/provenance/upload/%s" .Values.upload.key) }}{{ end }}
{{- if eq .Values.upload.auth "account" }}{{ $_ := set $env "PROVENANCE_REPORT_UPLOAD_TOKEN_FILE" "/etc/provenance/upload/token" }}{{ end }}
{{- end }}
{{- if not (hasKey $env "PROVENANCE_REPORT_CONFIGMAP_NAMESPACE") }}{{ $_ := set $env "PROVENANCE_REPORT_CONFIGMAP_NAMESPACE" .Release.Namespace }}{{ end }}
{{- if and .Values.activeDeadlineSeconds (not (hasKey $env "PROVENANCE_DEADLINE")) (gt (int .Values.activeDeadlineSeconds) 120) }}{{ $_ := set $env "PROVENANCE_DEADLINE" (printf "%ds" (sub (int .Values.activeDeadlineSeconds) 60)) }}{{ end }}
{{- if .Values.registryCredentials.existingSecret }}{{ $_ := set $env "PROVENANCE_REGISTRY_AUTH" "/etc/docker" }}{{ end }}
{{- if or .Values.trust.policies .Values.trust.existingConfigMap }}{{ $_ := set $env "PROVENANCE_TRUST_POLICIES" "/etc/provenance/policies" }}{{ end }}
{{- if .Values.trust.keys.existingSecret }}
{{- $files := list }}
{{- range .Values.trust.keys.names }}{{ $files = append $files (printf "/etc/provenance/keys/%s" .) }}{{ end }}
{{- $_ := set $env "PROVENANCE_COSIGN_PUBLIC_KEY" (join "," (append $files ($env.PROVENANCE_COSIGN_PUBLIC_KEY | default "") | compact)) }}
{{- end }}
{{- if .Values.trust.trustedRoot.existingConfigMap }}{{ $_ := set $env "PROVENANCE_TRUSTED_ROOT" (printf "/etc/provenance/trusted-root/%s" .Values.trust.trustedRoot.key) }}{{ end }}
{{- if or .Values.registryCA.existingConfigMap .Values.registryCA.existingSecret }}{{ $_ := set $env "PROVENANCE_REGISTRY_CA" (printf "/etc/provenance/registry-ca/%s" .Values.registryCA.key) }}{{ end }}
{{- if .Values.registryClientCert.existingSecret }}{{ $_ := set $env "PROVENANCE_REGISTRY_CLIENT_CERT" (printf "/etc/provenance/registry-client-cert/%s" .Values.registryClientCert.key) }}{{ end }}
{{- if kindIs "map" .Values.config.config }}
{{- $_ := unset $env "PROVENANCE_CONFIG" }}
{{- if .Values.config.config }}{{ $_ := set $env "PROVENANCE_CONFIG" "/etc/provenance/config/config.yaml" }}{{ end }}
{{- end }}
{{- if and .Values.cache.enabled (not (hasKey $env "PROVENANCE_CACHE")) }}{{ $_ := set $env "PROVENANCE_CACHE" "/cache" }}{{ end }}
{{- toYaml $env }}
{{- end }}

{{/* The dashboard's variables. */}}
{{- define "pc.webEnv" -}}
{{- $env := include "pc.options" (dict "root" . "command" "serve") | fromYaml }}
{{- $front := .Values.frontend }}
{{- $brand := $front.branding | default dict }}
{{- $theme := $brand.theme | default dict }}
{{- $light := "" }}{{ if $theme.light }}{{ $light = toJson $theme.light }}{{ end }}
{{- $dark := "" }}{{ if $theme.dark }}{{ $dark = toJson $theme.dark }}{{ end }}
{{- $older := dict "PROVENANCE_DASHBOARD_TITLE" $front.title "PROVENANCE_DASHBOARD_LOGO" $brand.logoUrl "PROVENANCE_DASHBOARD_LOGO_DARK" $brand.logoUrlDark "PROVENANCE_DASHBOARD_FAVICON" $brand.faviconUrl "PROVENANCE_DASHBOARD_THEME_LIGHT" $light "PROVENANCE_DASHBOARD_THEME_DARK" $dark "PROVENANCE_OIDC_CLIENT_ID" ($front.keycloak | default dict).clientId "PROVENANCE_OIDC_ISSUER" (include "pc.issuer" .) }}
{{- range $name, $value := $older }}
{{- if and $value (not (hasKey $env $name)) }}{{ $_ := set $env $name $value }}{{ end }}
{{- end }}
{{- $app := .Values.nebariapp }}
{{- /* The operator makes a public client of this name. */}}
{{- if and $app.enabled $app.auth.enabled ($front.keycloak | default dict).url (not (hasKey $env "PROVENANCE_OIDC_CLIENT_ID")) }}
{{- $_ := set $env "PROVENANCE_OIDC_CLIENT_ID" ($app.auth.spaClientId | default (printf "%s-%s-spa" .Release.Namespace (include "pc.fullname" .))) }}
{{- end }}
{{- if not (include "pc.issuer" .) }}{{ $_ := unset $env "PROVENANCE_OIDC_CLIENT_ID" }}{{ end }}
{{- if not (hasKey $env "PROVENANCE_EXTERNAL_URL") }}
{{- if $app.enabled }}
{{- $tls := $app.routing.tls | default dict }}
{{- $_ := set $env "PROVENANCE_EXTERNAL_URL" (printf "%s://%s/" (ternary "http" "https" (eq (toString $tls.enabled) "false")) $app.hostname) }}
{{- else if .Values.ingress.enabled }}
{{- $_ := set $env "PROVENANCE_EXTERNAL_URL" (printf "%s://%s%s" (ternary "https" "http" (not (not .Values.ingress.tlsSecret))) .Values.ingress.host .Values.ingress.path) }}
{{- end }}
{{- end }}
{{- $_ := set $env "PROVENANCE_DASHBOARD_ADDR" (printf ":%d" (int .Values.webUI.port)) }}
{{- $_ := set $env "PROVENANCE_DASHBOARD_INTERNAL_ADDR" (printf ":%d" (int .Values.webUI.internalPort)) }}
{{- $_ := set $env "PROVENANCE_NAMESPACE" .Release.Namespace }}
{{- if include "pc.scans" . }}{{ $_ := set $env "PROVENANCE_CRONJOB_NAME" (include "pc.fullname" .) }}{{ end }}
{{- if and (gt (int .Values.shards) 1) (not (hasKey $env "PROVENANCE_UPLOAD_MAX_BYTES")) }}{{ $_ := set $env "PROVENANCE_UPLOAD_MAX_BYTES" "67108864" }}{{ end }}
{{- if eq .Values.upload.auth "token" }}{{ $_ := set $env "PROVENANCE_UPLOAD_TOKEN_FILE" (printf "/etc/provenance/upload/%s" .Values.upload.key) }}{{ end }}
{{- if eq .Values.upload.auth "account" }}
{{- if not (hasKey $env "PROVENANCE_UPLOAD_ACCOUNTS") }}{{ $_ := set $env "PROVENANCE_UPLOAD_ACCOUNTS" (printf "%s/%s" .Release.Namespace (include "pc.account" .)) }}{{ end }}
{{- $_ := set $env "PROVENANCE_UPLOAD_AUDIENCE" .Values.upload.audience }}
{{- end }}
{{- if .Values.webUI.oidc.existingSecret }}{{ $_ := set $env "PROVENANCE_OIDC_CLIENT_SECRET_FILE" (printf "/etc/provenance/oidc/%s" .Values.webUI.oidc.key) }}{{ end }}
{{- if .Values.webUI.oidc.caConfigMap }}{{ $_ := set $env "PROVENANCE_OIDC_CA" (printf "/etc/provenance/oidc-ca/%s" .Values.webUI.oidc.caKey) }}{{ end }}
{{- if .Values.webUI.session.existingSecret }}{{ $_ := set $env "PROVENANCE_SESSION_KEY_FILE" (printf "/etc/provenance/session/%s" .Values.webUI.session.key) }}{{ end }}
{{- toYaml $env }}
{{- end }}

{{/* What the dashboard is called by in the cluster, for the older name of its Service. */}}
{{- define "pc.nebariService" -}}
{{- $named := .Values.nebariapp.service.name }}
{{- if or (not $named) (hasSuffix "-frontend" $named) }}{{ include "pc.fullname" . }}-web{{ else }}{{ $named }}{{ end }}
{{- end }}
